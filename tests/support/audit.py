"""What the API server's audit log records of the operator's writes: by which process, of what, in which order."""

from typing import NamedTuple

from modelyard.api import kinds
from tests.support.apiserver import ApiServer

WRITING = {"create", "update", "patch", "delete"}


class Write(NamedTuple):
    """A write that the API server carried out."""

    at: str
    process: str
    resource: str
    name: str
    verb: str
    has_created: bool


def writes(apiserver: ApiServer, namespace: str) -> list[Write]:
    """The writes to a namespace, as they came. A process is named by what it adds to its user agent."""
    found = []
    for event in apiserver.answers_to_the_operator():
        target, code = event.get("objectRef", {}), event["responseStatus"]["code"]
        if event["verb"] not in WRITING or target.get("namespace") != namespace or code >= 300:
            continue
        resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
        process = event["userAgent"].rpartition(" ")[2]
        found.append(
            Write(
                event["requestReceivedTimestamp"], process, resource, target.get("name", ""), event["verb"], code == 201
            )
        )
    return sorted(found)


def children_made(apiserver: ApiServer, namespace: str) -> list[tuple[str, str]]:
    """Each child that was ever made, with its name, once for each time that it was."""
    resources = {kind.plural for kind in kinds.CHILDREN}
    return sorted(
        (write.resource, write.name)
        for write in writes(apiserver, namespace)
        if write.resource in resources and write.has_created
    )
