"""Pods of a namespace's own making that mount the node cache's driver, as any pod author may."""

import json
from collections.abc import Sequence

from e2e.cluster.images import reference
from e2e.support.kubectl import Kubectl, Object
from e2e.support.objects import pod
from modelyard.contract import names
from tests.support.eventually import eventually

SEEN = """
import json, os
seen = sorted(os.path.join(folder, name) for folder, inner, files in os.walk("/cache") for name in (*inner, *files))
print(json.dumps([path.removeprefix("/cache/") for path in seen]))
"""
LINKS = """
import os, sys
os.symlink(sys.argv[1], f"/cache/by-pod/{os.environ['POD_UID']}")
"""
UID = {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}


CACHE = {"name": "cache", "mountPath": names.PATH_CACHE}


def _pod(name: str, node: str, command: Sequence[str], attributes: dict[str, str], mount: Object) -> Object:
    body = pod(name, reference("standin"), command=command, env=[UID], volumeMounts=[mount])
    csi: Object = {"driver": names.CSI_DRIVER} | ({"volumeAttributes": attributes} if attributes else {})
    body["spec"] |= {
        "restartPolicy": "Never",
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "cache", "csi": csi}],
    }
    return body


def looks_around(name: str, node: str, **attributes: str) -> Object:
    """A pod that ends once it has printed every path of the cache that it sees; see what_it_saw()."""
    return _pod(name, node, ("python3", "-c", SEEN), attributes, CACHE)


def what_it_saw(kubectl: Kubectl, name: str, within_s: int = 60) -> list[str]:
    """The paths that the pod printed, relative to the cache."""
    kubectl.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded", within_s)
    seen: list[str] = json.loads(kubectl.run("logs", name))
    return seen


def follows_a_link(name: str, node: str, target: str) -> Object:
    """A pod that makes its link point to ``target``, and mounts what the link points to, as engines do."""
    mount = {"name": "cache", "mountPath": names.PATH_MODEL, "subPathExpr": "by-pod/$(POD_UID)", "readOnly": True}
    body = _pod(name, node, ("ls", "-R", names.PATH_MODEL), {}, mount)
    linking = _pod(name, node, ("python3", "-c", LINKS, target), {}, CACHE)["spec"]["containers"][0]
    body["spec"]["initContainers"] = [linking | {"name": "links"}]
    return body


def refusal(kubectl: Kubectl, name: str, within_s: float = 60) -> str:
    """Why the kubelet does not start the pod's container, once it reports that. Raises AssertionError if it starts."""

    def waits() -> str | None:
        status = kubectl.get("pod", name)["status"]
        assert status["phase"] != "Succeeded", kubectl.run("logs", name)
        for container in status.get("containerStatuses", []):
            waiting = container["state"].get("waiting", {})
            if waiting.get("message"):
                return str(waiting["message"])
        return None

    return eventually(waits, within_s=within_s, every_s=0.5)
