"""From a body and settings to children, as the reconciler goes; and which engine flags there are."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

from modelyard.api import kinds
from modelyard.api.service import Object, parse
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.desired import desired, pod
from modelyard.desired.profile_defaults import ProfileLookup, ProfileRef
from modelyard.desired.refresh import Update, update
from modelyard.desired.resolve import resolve
from modelyard.desired.resolved import Resolved
from modelyard.desired.template_record import recorded
from tests.support.recordings import RECORDINGS

REPOSITORY = Path(__file__).parents[2]
HELP = {
    "vllm": REPOSITORY / "e2e" / "images" / "standin" / "flags.txt",
    "triton": RECORDINGS / "triton" / "logs" / "unknown-flag.log",
}
"""What the real vLLM 0.32 and Triton 2.51 list as their flags, recorded."""

SETTINGS = Settings(fetch_image="modelyard-fetch:0.1.0", operator_namespace="modelyard-system")


def offer(profile: Object, *, named_by: str = "spec.profile") -> ProfileLookup:
    """The profile as it is offered to a service that it is named for."""
    name = profile["metadata"]["name"]
    return ProfileLookup(ProfileRef(name, named_by), profile, (name,))


def missing(name: str) -> ProfileLookup:
    """What is offered to a service whose profile does not exist."""
    return ProfileLookup(ProfileRef(name, "spec.profile"), None, ("gpu-large", "cpu"))


def resolved(
    body: Object, settings: Settings = SETTINGS, deployment: Object | None = None, profile: ProfileLookup | None = None
) -> Resolved:
    """The service resolved against its Deployment as it is in the cluster, if it is there, and its profile."""
    record = recorded(deployment)
    return resolve(parse(body), settings, {names.DEFAULT_POOL: record} if record else {}, profile)


def with_rendering(found: Resolved, number: int) -> Resolved:
    """``found`` in the form of template of that number."""
    pool = replace(found.lead, inputs=found.lead.inputs.model_copy(update={"rendering": number}))
    return replace(found, pools=(pool,), templates={pool.name: pod.template(pool)})


def deployment(
    body: Object, settings: Settings = SETTINGS, present: Object | None = None, profile: ProfileLookup | None = None
) -> Object:
    """The service's desired Deployment, ``present`` being the one in the cluster."""
    children = desired(resolved(body, settings, present, profile))
    return next(child for child in children if child["kind"] == kinds.DEPLOYMENT.kind)


def available(body: Object, settings: Settings, present: Object, profile: ProfileLookup | None = None) -> Update:
    """What a refresh would do to the service whose Deployment is ``present``."""
    return update(parse(body), resolved(body, settings, present, profile), settings, profile)


def pod_spec(body: Object, settings: Settings = SETTINGS) -> Object:
    """The spec of the service's pods."""
    spec: Object = deployment(body, settings)["spec"]["template"]["spec"]
    return spec


def engine_container(body: Object, settings: Settings = SETTINGS) -> Object:
    """The container that serves."""
    container: Object = pod_spec(body, settings)["containers"][0]
    return container


def engine_command(container: Object) -> list[str]:
    """The engine's own command, which stands behind the launcher's."""
    command: list[str] = container["command"]
    return command[command.index("--") + 1 :]


def environment(container: Object) -> dict[str, Object | str]:
    """The container's variables by name: the value, or where it comes from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom", "")) for entry in container["env"]}


@cache
def engine_flags(engine: str) -> frozenset[str]:
    """Every flag that the real engine knows, as its help listed them."""
    return frozenset(re.findall(r"(?<![\w-])-{1,2}[a-zA-Z][\w-]*", HELP[engine].read_text()))
