"""Explains failed connections to the user who must act, for every source alike. Pure.

Both clients, boto3 and urllib3, put the system's own text into their errors: that text is what is matched here.
"""

import re
from dataclasses import dataclass

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.failure import FetchError


@dataclass(frozen=True)
class Server:
    """Whom the fetcher talks to, in the words of a message.

    ``name`` is its address, ``setting`` the field of the spec that has it, ``proxy`` what stands in between (None:
    nothing), ``otherwise`` what else a person can do where it cannot be reached at all.
    """

    name: str
    setting: str
    proxy: str | None = None
    otherwise: str = ""


_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
_NO_PROXY_THERE = ("Unable to connect to proxy", "Failed to connect to proxy", "Your proxy appears to only use HTTP")


def explain_connection(text: str, server: Server) -> FetchError:
    """The error by name, with its remedy. ``text`` is the client's whole message."""
    if server.proxy:
        if refused := _REFUSED_TUNNEL.search(text):
            return explain_proxy(int(refused[1]), server)
        if any(words in text for words in _NO_PROXY_THERE):
            return FetchError(
                Reason.PROXY_FAILED,
                f"the proxy {server.proxy} is unreachable: {_problem(text, 'the proxy')}. Correct "
                "spec.model.proxy.url (or fetch_proxy in the operator's settings)",
            )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        problem = text.rpartition("certificate verify failed: ")[2].split(" (_ssl.c")[0]
        return FetchError(
            Reason.CERTIFICATE_NOT_TRUSTED,
            f"the certificate of {server.name} is not trusted ({problem}): put its CA in a ConfigMap and name that in "
            "spec.model.caBundle, or use the host name in the certificate",
        )
    if "WRONG_VERSION_NUMBER" in text:
        return FetchError(
            Reason.ENDPOINT_UNREACHABLE,
            f"no TLS connection to {server.name}: it seems to use plain http, but {server.setting} has https://",
        )
    way = f" through the proxy {server.proxy}" if server.proxy else ""
    otherwise = f". {server.otherwise}" if server.otherwise else ""
    return FetchError(
        Reason.ENDPOINT_UNREACHABLE,
        f"{server.name} is unreachable{way}: {_problem(text, server.setting)}{otherwise}",
    )


def explain_proxy(status: int, server: Server) -> FetchError:
    """A proxy's own answer, in place of the server's."""
    match status:
        case 407:
            problem = (
                "requires a user and password, which modelyard does not support: exempt this cluster's pods, or set "
                "another proxy in spec.model.proxy.url"
            )
        case 502 | 503 | 504:
            problem = (
                f"cannot reach {server.name} (it returned {status}): check {server.setting}, and whether the proxy can "
                "resolve that host. A host inside the cluster belongs in spec.model.proxy.noProxy"
            )
        case _:
            problem = f"refused to connect to {server.name} (it returned {status}): have it allow that host"
    return FetchError(Reason.PROXY_FAILED, f"the proxy {server.proxy} {problem}")


def _problem(text: str, setting: str) -> str:
    if "Failed to resolve" in text:
        return f"its host name is not known to DNS: correct {setting}, or the cluster's DNS"
    if "Connection refused" in text:
        return f"the connection is refused: check that the server is running, and the port in {setting}"
    if "unreachable" in text or "No route" in text:
        return "there is no route to it: check NetworkPolicies, firewalls and routes"
    if "trickles" in text:
        return f"its response {text[text.index('trickles') :][:100]}: check its load, and the network in between"
    if "timed out" in text.lower() or "timeout" in text.lower():
        return "it does not respond in time: check NetworkPolicies, firewalls and routes"
    return f"the connection failed ({text.strip()[:300]})"
