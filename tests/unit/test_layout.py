"""Where things lie in the cache, and that no text from outside becomes a path."""

from pathlib import Path

import pytest

from modelyard.contract.cache_layout import CacheLayout, folder_name

DIGEST = f"sha256:{'ab' * 32}"
LAYOUT = CacheLayout(Path("/cache"))


def test_an_entry_is_named_by_its_digest_without_a_colon() -> None:
    assert LAYOUT.entry(DIGEST) == Path("/cache/entries") / f"sha256-{'ab' * 32}"


def test_a_pods_link_leads_to_its_entry_from_the_links_own_folder() -> None:
    link = LAYOUT.link("0a-1b")
    assert link == Path("/cache/by-pod/0a-1b")
    assert Path("/cache/entries") / folder_name(DIGEST) == (link.parent / LAYOUT.link_target(DIGEST)).resolve()


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:../../etc", f"sha256:{'AB' * 32}", f"md5:{'ab' * 32}", f"{DIGEST}\n"]
)
def test_a_text_that_is_no_digest_is_refused(digest: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        LAYOUT.entry(digest)


@pytest.mark.parametrize("pod_uid", ["", ".", "..", "../entries", "a/b", "a\0", "-rf", "a" * 64])
def test_a_text_that_is_no_pod_uid_is_refused(pod_uid: str) -> None:
    with pytest.raises(ValueError, match="is not a pod UID"):
        LAYOUT.link(pod_uid)
