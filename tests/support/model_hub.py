"""A hub with Hugging Face's API, as its documentation and its client's source describe it, on the loopback.

Its repository is REPOSITORY; GATED is one that no user may read. Files of LARGE_BYTES or more are in LFS: they come
by a redirect to another host with a signed address, which must never see a token. The others come by a redirect on the
same host. To clients that it does not know it reveals nothing: 401 also for what is not there.
"""

import hashlib
import json
from urllib.parse import unquote, urlsplit

from tests.support.file_server import FileServer, Handler

REPOSITORY = "org/model"
GATED = "org/gated"
LARGE_BYTES = 1024 * 1024
INVALID = {"X-Error-Message": "Invalid credentials in Authorization header"}


class ModelHub(FileServer):
    """``commits`` has the files of each commit, ``branches`` where names point; ``cdn`` is the other host's address."""

    def __init__(self) -> None:
        super().__init__()
        self.token = ""
        """What private repositories require; empty: all is public."""
        self.cdn = ""
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.is_limited = False
        self.cdn_refuses = False
        self.listing = b""
        """What it answers in place of a listing; empty: the listing."""

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A new commit with these files."""
        sha = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        return sha

    def answer(self, handler: Handler) -> None:
        path = urlsplit(handler.path).path
        given = handler.headers.get("Authorization", "")
        if given:
            self.authorizations.append((handler.headers["Host"], given))
        if self.is_limited:
            handler.send(429, headers={"Retry-After": "300"})
        elif path.startswith("/cdn/") and self.cdn_refuses:
            handler.send(403)
        elif path.startswith("/cdn/"):
            self._give(handler, path.removeprefix("/cdn/"))
        elif given not in {"", f"Bearer {self.token}"}:
            handler.send(401, headers=INVALID)
        elif not given and self.token:
            handler.send(401, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif path.startswith("/api/resolve-cache/models/"):
            self._give(handler, path.removeprefix("/api/resolve-cache/models/"))
        elif path in self.redirects:
            handler.send(307, headers={"Location": self.redirects[path]})
        else:
            self._answer_of_repository(handler, path)

    def _answer_of_repository(self, handler: Handler, path: str) -> None:
        if path.startswith((f"/api/models/{GATED}/", f"/{GATED}/")):
            message = "Access to model org/gated is restricted and you are not in the authorized list."
            handler.send(403, headers={"X-Error-Code": "GatedRepo", "X-Error-Message": message})
        elif path.startswith(f"/api/models/{REPOSITORY}/revision/"):
            self._list(handler, unquote(path.rpartition("/")[2]))
        elif path.startswith(f"/{REPOSITORY}/resolve/"):
            self._resolve(handler, path.removeprefix(f"/{REPOSITORY}/resolve/"))
        else:
            handler.send(404, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def _list(self, handler: Handler, revision: str) -> None:
        sha = self.branches.get(revision, revision)
        if sha not in self.commits:
            message = f"Invalid rev id: {revision}"
            handler.send(404, headers={"X-Error-Code": "RevisionNotFound", "X-Error-Message": message})
            return
        if self.listing:
            handler.send(200, self.listing)
            return
        assert handler.path.endswith("?blobs=true"), handler.path
        siblings = [_sibling(name, content) for name, content in self.commits[sha].items()]
        body = {"id": REPOSITORY, "private": bool(self.token), "gated": False, "sha": sha, "siblings": siblings}
        handler.send(200, json.dumps(body).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def _resolve(self, handler: Handler, place: str) -> None:
        sha, _, name = place.partition("/")
        content = self.commits.get(sha, {}).get(unquote(name))
        if content is None:
            handler.send(404, headers={"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        elif len(content) >= LARGE_BYTES:
            handler.send(302, headers={"Location": f"{self.cdn}/cdn/{place}?Signature=of-the-hub"})
        else:
            handler.send(307, headers={"Location": f"/api/resolve-cache/models/{place}"})

    def _give(self, handler: Handler, place: str) -> None:
        sha, _, name = place.partition("/")
        handler.send_file(self.commits[sha][unquote(name)])


def _sibling(name: str, content: bytes) -> dict[str, object]:
    if len(content) < LARGE_BYTES:
        return {"rfilename": name, "size": len(content), "blobId": git_blob(content)}
    pointer = b"version https://git-lfs.github.com/spec/v1\n"
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": len(pointer)}
    return {"rfilename": name, "size": len(content), "blobId": git_blob(pointer), "lfs": lfs}


def git_blob(content: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
