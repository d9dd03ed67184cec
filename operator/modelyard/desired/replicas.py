"""How many replicas of a service run, and in which pools: the one answer for all who ask.

With scaling, a decision is written to ``spec.replicas`` through the scale subresource, as a HorizontalPodAutoscaler
would, and then to ``status.scaling``. What runs is the larger of the two until both have it: an applied file that
resets ``spec.replicas`` takes nothing away, and a process that ends between the two writes leaves the former number.
"""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from modelyard.api.inference_service import InferenceServiceSpec
from modelyard.api.scaling import Scaling
from modelyard.api.service import Object, Service
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.scaling import reasons

STARTS_BY_OTHERS = 5
"""After so many failed starts in a row, a number in spec.replicas starts a service no sooner than a wake would. A
status shows ten changes, and each of these starts is two.
"""


def pools(service: Service) -> tuple[str, ...]:  # noqa: ARG001 (pools become fields of the API)
    """The service's pools by name, the default one first."""
    return (names.DEFAULT_POOL,)


def replicas_by_pool(service: Service, running: Mapping[str, int]) -> Mapping[str, int]:
    """The desired replicas of each pool. ``running`` is what the pools' Deployments are set to, as far as there are."""
    return {names.DEFAULT_POOL: effective_replicas(service, sum(running.values()))}


def effective_replicas(service: Service, running: int) -> int:
    """How many replicas are to run, where the Deployments are set to ``running``, 0 before there is one.

    Before the first decision, and until the next one, it is at least what runs: no matter who writes another number to
    ``spec.replicas``. A larger number there counts at once, up to the maximum. A maximum below what runs is for the
    next decisions, which drain replicas at the rate of scaling down. Nor does a number there start a service at zero
    whose starts keep failing: a tool that writes it again and again would start it without end.
    """
    scaling, wanted = service.spec.scaling, service.spec.replicas
    if scaling is None or scaling.mode == "Recommend":
        return wanted
    decided = decided_replicas(service)
    if decided == 0 and _failed_starts(service) >= STARTS_BY_OTHERS:
        wanted = 0
    kept = running if decided is None else decided
    return max(kept, min(wanted, scaling.max_replicas), scaling.min_replicas)


def _failed_starts(service: Service) -> int:
    """How many starts from zero failed since the last that succeeded, as far as the status has them."""
    history = (service.status.get("scaling") or {}).get("history") or ()
    ends = [change.get("reason") for change in history if change.get("to") == 0]
    return next((index for index, reason in enumerate(ends) if reason != reasons.START_FAILED), len(ends))


def decided_replicas(service: Service) -> int | None:
    """What the last decision came to; None before the first one. A recommendation is no decision."""
    last = service.status.get("scaling") or {}
    desired = last.get("desired")
    return desired if last.get("mode") == "Auto" and isinstance(desired, int) else None


def is_automatic(body: Object) -> bool:
    """Whether we scale the service in ``body``, which may have a spec that cannot be parsed."""
    return scaling_mode(body) not in {None, "Recommend"}


def scaling_mode(body: Object | None) -> str | None:
    """The mode of scaling of the service in ``body``, which may have a spec that cannot be parsed; None without."""
    scaling = ((body or {}).get("spec") or {}).get("scaling")
    return scaling.get("mode", "Auto") if isinstance(scaling, dict) else None


def check_scaling(spec: InferenceServiceSpec, settings: Settings) -> None:
    """Raises InvalidError for what the schema cannot see."""
    if spec.scaling is None:
        return
    if spec.scaling.source == "Prometheus" and settings.prometheus is None:
        raise InvalidError(
            "NoPrometheus",
            "spec.scaling.source is Prometheus, but the operator's settings name none. Remove the field to scale by "
            "the pods' own metrics, or have the setting prometheus added.",
        )
    _check_time_zones(spec.scaling)


def _check_time_zones(scaling: Scaling) -> None:
    for index, schedule in enumerate(scaling.schedules):
        try:
            ZoneInfo(schedule.time_zone)
        except (LookupError, ValueError, OSError) as error:
            raise InvalidError(
                "InvalidSpec",
                f"spec.scaling.schedules[{index}].timeZone {schedule.time_zone!r} is not a time zone: use its IANA "
                "name, such as Europe/Berlin.",
            ) from error
