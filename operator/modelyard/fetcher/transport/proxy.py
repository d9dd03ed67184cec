"""Which proxy stands between the fetcher and a server: what the pod's variables say, read as boto3 reads them."""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_of(url: str) -> str | None:
    """The proxy for ``url``; None where it is reached directly, and for what is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.hostname is None or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return getproxies().get(parts.scheme)
