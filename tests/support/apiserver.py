"""A real API server for tests: etcd and kube-apiserver alone, on loopback, started in seconds and gone with the tests.

There are no controllers, kubelets or nodes: nothing creates pods, collects garbage or fills aggregated roles (a test
binds the role that would be aggregated), and a namespace has no service account. What runs is what judges: schemas,
CEL rules, defaults, RBAC, field managers, watches.
"""

import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from modelyard.api.kinds import INFERENCE_SERVICE, SERVING_PROFILE, Kind
from modelyard.contract import names
from tests.support.api_client import NAMESPACE, Client, Object, RefusedError
from tests.support.eventually import eventually
from tests.support.ports import free_port

REPOSITORY = Path(__file__).parents[2]
CRDS = REPOSITORY / "crds"
ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
PROGRAMS = ("etcd", "kube-apiserver", "kubectl")
AUDIT_LOG = "audit.jsonl"
START_TIMEOUT_S = 120
"""Far above the few seconds that a start takes, for machines that do much else at the time."""

ADMIN = "admin"
OPERATOR = "system:serviceaccount:modelyard-system:modelyard"
LIMITED = "system:serviceaccount:modelyard-team-a:modelyard-team-a"
"""The operator of an installation that is limited to namespaces."""

ALICE = "alice"
BOB = "bob"
USERS: Mapping[str, tuple[str, ...]] = {
    ADMIN: ("system:masters",),
    OPERATOR: ("system:serviceaccounts", "system:serviceaccounts:modelyard-system"),
    LIMITED: ("system:serviceaccounts", "system:serviceaccounts:modelyard-team-a"),
    ALICE: (),
    BOB: (),
}
"""Groups by user. All but the admin may do nothing until a test binds a role to them."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [OPERATOR, LIMITED]}, {"level": "None"}],
}
"""Every answer to an operator is recorded, and no other."""


@dataclass(frozen=True)
class ApiServer:
    """A running API server. ``folder`` holds its certificate, tokens, data and logs."""

    url: str
    folder: Path
    binaries: Path
    tokens: Mapping[str, str]

    @property
    def certificate(self) -> Path:
        """What clients trust: the server's own certificate with its CA."""
        return self.folder / "certificates" / "apiserver.crt"

    def client(self, user: str = ADMIN) -> Client:
        """A client that acts as one of USERS."""
        return Client(self.url, self.tokens[user], ssl.create_default_context(cafile=str(self.certificate)))

    def kubeconfig(self, user: str = ADMIN, url: str = "") -> Path:
        """A kubeconfig file that acts as one of USERS; by way of ``url``, if the server shall be found elsewhere."""
        path = self.folder / f"kubeconfig-{user.replace(':', '-')}-{url.rpartition(':')[2]}"
        named = {"name": "test"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                named | {"cluster": {"server": url or self.url, "certificate-authority": str(self.certificate)}}
            ],
            "users": [named | {"user": {"token": self.tokens[user]}}],
            "contexts": [named | {"context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def kubectl(self, *arguments: str, user: str = ADMIN, stdin: str = "") -> str:
        """What kubectl prints. Raises AssertionError with its error text when it fails."""
        done = self._kubectl(user, stdin, *arguments)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def namespace(self, labels: Mapping[str, str] | None = None) -> str:
        """The name of a new namespace of its own, so that tests never meet."""
        name = f"test-{secrets.token_hex(4)}"
        self.client().create(NAMESPACE, {"metadata": {"name": name, "labels": labels or {}}})
        return name

    def may(self, user: str, verb: str, kind: Kind, namespace: str, subresource: str = "") -> bool:
        """Whether RBAC lets ``user`` do this. A role counts soon after it is bound, not at once: wait until it does."""
        attributes = {
            "verb": verb,
            "group": kind.group,
            "resource": kind.plural,
            "subresource": subresource,
            "namespace": namespace,
        }
        review = self.client(user).create(ACCESS_REVIEW, {"metadata": {}, "spec": {"resourceAttributes": attributes}})
        allowed: bool = review["status"]["allowed"]
        return allowed

    def answers_to_the_operator(self) -> list[Object]:
        """The audit log: one event per answer that OPERATOR and LIMITED got so far."""
        log = self.folder / AUDIT_LOG
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def install_crds(self, folder: Path = CRDS) -> None:
        """Apply the CRDs in ``folder`` as a user does, and wait until the server serves InferenceServices, and profiles
        where there is a CRD of them.

        Not by ``kubectl wait --for=condition=Established``: it fails where a new CRD has no conditions yet
        (kubernetes/kubernetes#66439).
        """
        self.kubectl("apply", "--server-side", "--warnings-as-errors", "-f", str(folder))
        eventually(lambda: self._kubectl(ADMIN, "", "explain", names.SHORT_NAME).returncode == 0)
        client = self.client()
        installed = [
            kind for kind in (INFERENCE_SERVICE, SERVING_PROFILE) if list(folder.glob(f"*_{kind.plural}.yaml"))
        ]
        eventually(lambda: all(serves(client, kind) for kind in installed))

    def is_ready(self) -> bool:
        """Whether the server reports that it is ready; False as well while it does not answer."""
        try:
            client = self.client()
            readiness = urllib.request.Request(
                f"{self.url}/readyz", headers={"Authorization": f"Bearer {client.token}"}
            )
            with client.opener.open(readiness, timeout=5):
                return True
        except OSError:
            return False

    def _kubectl(self, user: str, stdin: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        no_cache = "--cache-dir=/dev/null"  # else a kind that was unknown a moment ago stays so for minutes
        return subprocess.run(
            [self.binaries / "kubectl", f"--kubeconfig={self.kubeconfig(user)}", no_cache, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def serves(client: Client, kind: Kind) -> bool:
    """Whether the server lists a kind; just after a CRD is established it may not know it, or be filling its cache."""
    try:
        client.list(kind)
    except RefusedError as error:
        if error.code in {404, 429}:
            return False
        raise
    return True


def binaries() -> Path:
    """The folder of etcd, kube-apiserver and kubectl: MODELYARD_BINARIES, else what the cluster's set-up has made.

    Raises RuntimeError that names what to run when there is none.
    """
    named = os.environ.get("MODELYARD_BINARIES")
    if named is None:
        made = subprocess.run(
            [sys.executable, "-m", "e2e.cluster", "binaries"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0 or not made.stdout.strip():
            raise RuntimeError(
                "these tests need a real API server, and its programs could not be had: run "
                f"`python3 -m e2e.cluster binaries` and read its output.\n{made.stderr[-2000:]}"
            )
        named = made.stdout.strip().splitlines()[-1]
    missing = [program for program in PROGRAMS if not (Path(named) / program).exists()]
    if missing:
        raise RuntimeError(
            f"{named} holds no {', '.join(missing)}: unset MODELYARD_BINARIES, or let it name a folder "
            f"with {', '.join(PROGRAMS)}, as `python3 -m e2e.cluster binaries` makes one"
        )
    return Path(named)


@contextmanager
def program(folder: Path, executable: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes its output to ``folder``/<name>.log and ends with this context, or with this process."""
    ends_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with (folder / f"{executable.name}.log").open("wb") as log:
        process = subprocess.Popen([*ends_with_us, executable, *flags], stdout=log, stderr=log, cwd=folder)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def etcd_flags(folder: Path, url: str) -> list[str]:
    """Flags of etcd for one client on loopback, whose data need not outlive it."""
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_flags(folder: Path, etcd_url: str, port: int) -> list[str]:
    """Flags of kube-apiserver on loopback: RBAC, and the default admission plugins without ServiceAccount.

    It makes its own certificate, whose key signs service-account tokens as well. The right to block an owner's deletion
    is required, as on OpenShift: elsewhere that is off, and nothing would show that the operator's role lacks it.
    """
    key = folder / "certificates" / "apiserver.key"
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY))
    return [
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={key.parent}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={folder / AUDIT_LOG}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/20",
        "--endpoint-reconciler-type=none",
    ]


def write_tokens(folder: Path) -> Mapping[str, str]:
    """A random token for each of USERS, in the file that kube-apiserver reads."""
    tokens = {user: secrets.token_urlsafe(24) for user in USERS}
    lines = (f'{tokens[user]},{user},{user},"{",".join(groups)}"' for user, groups in USERS.items())
    (folder / "tokens.csv").write_text("\n".join(lines))
    return tokens


def ready(process: subprocess.Popen[bytes], server: ApiServer) -> bool:
    """Whether the server answers as ready. Raises RuntimeError with the end of its log when it has ended."""
    if process.poll() is not None:
        log = (server.folder / "kube-apiserver.log").read_text(errors="replace")
        raise RuntimeError(f"kube-apiserver ended with code {process.returncode}:\n{log[-3000:]}")
    return server.is_ready()


@contextmanager
def running(folder: Path, crds: Path = CRDS) -> Iterator[ApiServer]:
    """An API server with its data in ``folder``, ready, with the CRDs in ``crds`` installed.

    Raises RuntimeError when its programs are missing or end early.
    """
    programs, etcd_url, port = binaries(), f"http://127.0.0.1:{free_port()}", free_port()
    server = ApiServer(f"https://127.0.0.1:{port}", folder, programs, write_tokens(folder))
    with (
        program(folder, programs / "etcd", *etcd_flags(folder, etcd_url)),
        program(folder, programs / "kube-apiserver", *apiserver_flags(folder, etcd_url, port)) as process,
    ):
        eventually(lambda: ready(process, server), within_s=START_TIMEOUT_S)
        server.install_crds(crds)
        yield server
