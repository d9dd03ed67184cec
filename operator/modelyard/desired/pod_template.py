"""A user's podTemplate, merged last into the rendered pod template; and what of it would break the service.

Whatever is refused has its reason beside it. All else is left to the user, and validated by the API server: it
refuses a Deployment with an unknown field or an invalid value whole (controller/reconcile/apply.py reports it).
"""

import json
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from modelyard.api.pod_types import PodTemplate
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.desired.strategic_merge import DIRECTIVE, merged

LONGEST_BYTES = 32 * 1024
"""As JSON. The CRD cannot bound what it does not describe. The Deployment carries it, and so does each ReplicaSet."""

DEEPEST = 32
"""Levels of nested objects and lists; a pod's own spec has some 15."""

SPEC = "spec.podTemplate.spec"

POD_FIELDS: Mapping[str, str] = {
    DIRECTIVE: "it would remove the whole pod spec",
    "activeDeadlineSeconds": "it would end pods while they serve",
    "enableServiceLinks": "vLLM would read the variables of a Service named vllm as its own settings",
    "ephemeralContainers": "they can only be added to a running pod, with kubectl debug",
    "hostNetwork": "two pods on a node would use the same ports, and network policies would not apply",
    "hostPID": "the launcher must be the first process of its container to stop the engine in time",
    "nodeName": "it bypasses the scheduler, which counts accelerators; use nodeSelector",
    "restartPolicy": "the pods of a Deployment always restart",
    "serviceAccount": "set spec.serviceAccountName instead",
    "serviceAccountName": "set spec.serviceAccountName instead",
    "shareProcessNamespace": "the launcher must be the first process of its container to stop the engine in time",
    "terminationGracePeriodSeconds": "it is derived from spec.drain.timeoutSeconds",
}
"""Forbidden fields of the pod spec, with the reason."""

ENGINE_FIELDS: Mapping[str, str] = {
    DIRECTIVE: "it would remove the whole container",
    "args": "set spec.engine.args instead",
    "command": "the launcher must be the first process; set the engine's flags in spec.engine.args",
    "image": "set spec.engine.image instead, which also determines the engine's version",
    "lifecycle": "a hook delays SIGTERM, even while the model is still loading; set the time to drain in "
    "spec.drain.timeoutSeconds",
    "livenessProbe": "the engine's own probes determine its health",
    "readinessProbe": "the engine's own probes determine its health",
    "restartPolicy": "an engine that exits must be restarted",
    "startupProbe": "it is derived from spec.startup.timeoutSeconds",
    "terminationMessagePath": "the status reads the engine's first error from there",
    "terminationMessagePolicy": "the status reads the engine's first error from there",
}
"""Forbidden fields of the engine's container, with the reason."""

ENGINE_RESOURCES: Mapping[str, str] = {
    DIRECTIVE: "set spec.resources and spec.accelerator instead",
    "limits": "set spec.resources and spec.accelerator instead",
    "requests": "set spec.resources and spec.accelerator instead",
}

FETCH_FIELDS = frozenset({"name", "resources", "imagePullPolicy", "securityContext"})
"""The only fields that may be set on the init container: any other could keep it from fetching the model."""

ADJUSTABLE_VOLUMES = frozenset({names.VOLUME_HOME, names.VOLUME_TMP, names.VOLUME_SHM})
"""Volumes of ours that a user may make larger or put elsewhere; the model does not depend on them."""

CLOSED_FOLDERS = (names.PATH_MODEL, names.PATH_LAUNCHER_FOLDER)
"""Read-only in the engine's container: nothing can be mounted inside of them."""


def merge(rendered: Object, pod_template: PodTemplate | None) -> Object:
    """``rendered``, a pod template, with the user's parts in it; the same object where there are none.

    Raises InvalidError (PodTemplateRefused) naming the field, for what would break the service, for lists whose items
    cannot be told apart, and for a part that is too large or nested too deeply.
    """
    if pod_template is None:
        return rendered
    _refuse_too_much(pod_template.spec)
    for path, why in _refused(rendered["spec"], pod_template.spec):
        raise InvalidError("PodTemplateRefused", f"{path} must not be set: {why}. Remove it.")
    metadata = pod_template.metadata.model_dump(exclude_defaults=True)
    return {
        # Ours last: a pod that could take another service's labels would get its requests.
        "metadata": merged(metadata, rendered["metadata"], "spec.podTemplate.metadata"),
        "spec": merged(rendered["spec"], pod_template.spec, SPEC),
    }


def _refuse_too_much(spec: Object) -> None:
    """Looks level by level: what is nested too deeply for Python must never reach a function that recurses."""
    level: list[Any] = [spec]
    for _ in range(DEEPEST):
        level = [value for node in level for value in _values(node)]
    if level:
        raise InvalidError(
            "PodTemplateRefused",
            f"{SPEC} is nested more than {DEEPEST} levels deep, which no pod needs. Flatten it.",
        )
    size_bytes = len(json.dumps(spec).encode())
    if size_bytes > LONGEST_BYTES:
        raise InvalidError(
            "PodTemplateRefused",
            f"{SPEC} has {size_bytes} bytes as JSON; the limit is {LONGEST_BYTES}. "
            "Put large contents in a ConfigMap and mount it.",
        )


def _values(node: Any) -> list[Any]:
    if isinstance(node, Mapping):
        return list(node.values())
    return node if isinstance(node, list) else []


def _refused(rendered: Object, spec: Object) -> Iterator[tuple[str, str]]:
    """Path and reason of each field of ``spec`` that would break the pods of ``rendered``."""
    yield from _fields(SPEC, spec, POD_FIELDS)
    ours = [volume["name"] for volume in rendered["volumes"] if volume["name"] not in ADJUSTABLE_VOLUMES]
    for volume in _items(spec, "volumes"):
        if volume.get("name") in ours:
            yield f"{SPEC}.volumes[{volume['name']}]", "the model's fetch and mount depend on it"
    containers = [*rendered.get("initContainers", ()), *rendered["containers"]]
    ports = [port for container in containers for port in container.get("ports", ())]
    for kind in ("initContainers", "containers"):
        for container in _items(spec, kind):
            path = f"{SPEC}.{kind}[{container.get('name')}]"
            if container.get("name") == names.CONTAINER_FETCH:
                yield from _of_the_fetcher(path, container)
                continue
            if container.get("name") == names.CONTAINER_ENGINE:
                yield from _of_the_engine(path, container, rendered["containers"][0])
            yield from _ports(path, container, ports)
            yield from _mounts(path, container, ours)


def _of_the_fetcher(path: str, container: Object) -> Iterator[tuple[str, str]]:
    for field in sorted(container.keys() - FETCH_FIELDS):
        yield (
            f"{path}.{field}",
            f"of this container, only {', '.join(sorted(FETCH_FIELDS - {'name'}))} can be set",
        )


def _of_the_engine(path: str, container: Object, engine: Object) -> Iterator[tuple[str, str]]:
    yield from _fields(path, container, ENGINE_FIELDS)
    if not isinstance(resources := container.get("resources", {}), dict):
        resources = dict.fromkeys(ENGINE_RESOURCES)
    yield from _fields(f"{path}.resources", resources, ENGINE_RESOURCES)
    for variable in _items(container, "env"):
        if variable.get("name") == names.ENV_POD_UID:
            yield f"{path}.env[{names.ENV_POD_UID}]", "the model's mount depends on it"
    taken = {mount["mountPath"] for mount in engine["volumeMounts"]}
    for mount in _items(container, "volumeMounts"):
        folder = posixpath.normpath(str(mount.get("mountPath")))
        if folder in taken or folder.startswith(tuple(f"{closed}/" for closed in CLOSED_FOLDERS)):
            yield f"{path}.volumeMounts[{mount.get('mountPath')}]", "modelyard mounts its own files there"


def _ports(path: str, container: Object, ours: list[Object]) -> Iterator[tuple[str, str]]:
    """All containers of a pod listen on one address, and the Service finds its port by name."""
    numbers, port_names = [port["containerPort"] for port in ours], [port["name"] for port in ours]
    for port in _items(container, "ports"):
        if port.get("containerPort") in numbers or port.get("name") in port_names:
            where = f"{path}.ports[{port.get('name') or port.get('containerPort')}]"
            yield where, "the engine or the fetcher uses it for the Service and the probes"


def _mounts(path: str, container: Object, ours: list[str]) -> Iterator[tuple[str, str]]:
    for mount in _items(container, "volumeMounts"):
        if mount.get("name") in ours and mount.get("readOnly") is not True:
            where = f"{path}.volumeMounts[{mount.get('mountPath')}]"
            yield where, f"volume {mount['name']} can only be mounted with readOnly: true"


def _fields(path: str, given: Object, refused: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for field in refused:
        if field in given:
            yield f"{path}.{field}", refused[field]


def _items(holder: Object, field: str) -> list[Object]:
    """The objects in a list that a user wrote; other items are ignored here."""
    value = holder.get(field)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
