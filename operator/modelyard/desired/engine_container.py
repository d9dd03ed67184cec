"""The container that serves: the launcher before the engine's own command, and the probes that judge it."""

import math

from modelyard.api.pod_types import EnvironmentVariable
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.desired import compile_cache
from modelyard.desired.fetch_container import POD_UID
from modelyard.desired.resolved import Pool
from modelyard.integrations.engines.base import Ipv6, Program, Serving
from modelyard.integrations.pod_parts import ModelRef, PodParts, SourceParts

PROBE_PERIOD_S = 5
"""Of start-up and readiness: a model that is ready gets requests at most this much later."""

PROBE_TIMEOUT_S = 10
"""Engines under load were seen to answer after 3 s; a slow answer is not a broken engine."""

READINESS_MISSES = 3

LIVENESS_PERIOD_S = 10
LIVENESS_MISSES = 6
"""A restart costs minutes of loading, so liveness is patient: only an engine that is silent for a minute is ended."""


POD_IPS: Object = {"name": names.ENV_POD_IPS, "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}
FROM_CACHE: Object = {"name": names.VOLUME_CACHE, "subPathExpr": f"by-pod/$({names.ENV_POD_UID})"}
"""The mount of a model that the init container fetched: the pod's link in the cache (contract/cache_layout.py)."""


def build(pool: Pool, source: SourceParts, security: Object) -> tuple[Object, PodParts]:
    """The container, and the engine's parts whose volumes the pod must have."""
    program = _program(pool)
    container = {
        "name": names.CONTAINER_ENGINE,
        "image": pool.image,
        "command": _command(pool, program),
        "env": _environment(pool, program),
        "ports": [
            {"name": port.name, "containerPort": port.container, "protocol": "TCP"} for port in pool.engine.ports
        ],
        "volumeMounts": [
            {**(source.mount or FROM_CACHE), "mountPath": names.PATH_MODEL, "readOnly": True},
            {"name": names.VOLUME_LAUNCHER, "mountPath": names.PATH_LAUNCHER_FOLDER, "readOnly": True},
            {"name": names.VOLUME_HOME, "mountPath": names.PATH_HOME},
            {"name": names.VOLUME_TMP, "mountPath": names.PATH_TMP},
            *program.parts.mounts,
            *([compile_cache.mount(pool)] if compile_cache.kept(pool) else []),
        ],
        "resources": _resources(pool),
        "startupProbe": _probe(program.ready_path, PROBE_PERIOD_S, math.ceil(pool.startup_timeout_s / PROBE_PERIOD_S)),
        "readinessProbe": _probe(program.ready_path, PROBE_PERIOD_S, READINESS_MISSES),
        "livenessProbe": _probe(program.live_path, LIVENESS_PERIOD_S, LIVENESS_MISSES),
        "securityContext": security,
        # The launcher writes the engine's first real error there; the log's last lines are generic.
        "terminationMessagePolicy": "File",
    }
    return container, program.parts


def _program(pool: Pool) -> Program:
    spec = pool.service.spec
    name, *aliases = pool.model_names
    return pool.engine.program(
        Serving(
            model=ModelRef(path=names.PATH_MODEL, name=name, aliases=tuple(aliases)),
            version=pool.version,
            devices=pool.accelerator.devices,
            args=tuple(spec.engine.args),
            resources=spec.resources,
            models=tuple(spec.engine.triton.models) if spec.engine.triton else (),
            drain_s=pool.drain_s,
        )
    )


def _command(pool: Pool, program: Program) -> list[str]:
    """The launcher is PID 1: it reaps, and ends an engine that is still loading, which would ignore the signal."""
    compiled = compile_cache.kept(pool)
    http = next(port for port in pool.engine.ports if port.name == names.PORT_HTTP)
    return [
        "python3",
        names.PATH_LAUNCHER,
        f"--ready-url=http://localhost:{http.container}{program.ready_path}",
        f"--pause-s={pool.inputs.propagation_pause_s}",
        f"--drain-s={pool.drain_s}",
        *([f"--entrypoint={program.entrypoint}"] if program.entrypoint else []),
        *_ipv6_options(program.ipv6),
        *([f"--package={program.package}"] if program.package else []),
        *(f"--since={'.'.join(map(str, since))}:{argument}" for argument, since in program.doubtful),
        *([f"--compile-cache={names.PATH_COMPILE_CACHE}", f"--engine-cache={compiled.folder}"] if compiled else []),
        "--",
        *program.command,
    ]


def _ipv6_options(ipv6: Ipv6 | None) -> list[str]:
    if ipv6 is None:
        return []
    arguments = [f"--ipv6-argument={argument}" for argument in ipv6.arguments]
    return [*arguments, "--dual-stack"] if ipv6.serves_ipv4 else arguments


def _environment(pool: Pool, program: Program) -> list[Object]:
    """Ours and the engine's, less what the user sets, then the user's in their own order."""
    ours = [
        {"name": "HOME", "value": names.PATH_HOME},
        {"name": "XDG_CACHE_HOME", "value": f"{names.PATH_HOME}/.cache"},
        # The user has no entry in the image's /etc/passwd, and programs that look up their name fail without it.
        {"name": "USER", "value": names.APPLICATION},
        *([POD_IPS] if program.ipv6 else []),
        *program.parts.env,
    ]
    users = pool.service.spec.engine.env
    if any(variable.name == names.ENV_POD_UID for variable in users):
        raise InvalidError(
            "EngineVariableRefused",
            f"spec.engine.env must not set {names.ENV_POD_UID}: the model's mount depends on it. Remove it.",
        )
    given = {variable.name for variable in users}
    return [POD_UID, *(entry for entry in ours if entry["name"] not in given), *map(_variable, users)]


def _variable(variable: EnvironmentVariable) -> Object:
    return variable.model_dump(by_alias=True, exclude_none=True)


def _resources(pool: Pool) -> Object:
    """The user's, and the accelerators as a limit: the API server uses it as the request too."""
    stated = pool.service.spec.resources
    limits = {name: str(quantity) for name, quantity in stated.limits.items()}
    devices = pool.accelerator.devices
    if devices.resource:
        limits[devices.resource] = str(devices.count)
    requests = {name: str(quantity) for name, quantity in stated.requests.items()}
    return {name: values for name, values in (("limits", limits), ("requests", requests)) if values}


def _probe(path: str, period_s: int, misses: int) -> Object:
    return {
        "httpGet": {"path": path, "port": names.PORT_HTTP},
        "periodSeconds": period_s,
        "timeoutSeconds": PROBE_TIMEOUT_S,
        "failureThreshold": misses,
    }
