"""Automatic scaling: the field ``scaling`` of an InferenceService, and what its status reports of it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelyard.api.fields import ApiModel, ShortText, Word, rule, with_rules

REPLICAS_LIMIT = 1000

Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]

TimeOfDay = Annotated[
    str,
    StringConstraints(max_length=5),
    Field(
        json_schema_extra=with_rules(
            rule(
                "self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')",
                'must be a time of day from "00:00" to "23:59", in quotes',
            )
        )
    ),
]


class Targets(ApiModel):
    """Load per replica to scale at, as in a HorizontalPodAutoscaler: the target that needs most replicas decides."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "has(self.queueDepth) || has(self.kvCacheUsage) || has(self.runningRequests)",
                "scaling.targets must set at least one of queueDepth, kvCacheUsage and runningRequests",
            )
        )
    )

    queue_depth: int | None = Field(
        default=None, ge=1, le=100_000, description="Requests that wait in a replica's queue, on average."
    )
    kv_cache_usage: int | None = Field(
        default=None, ge=1, le=100, description="Usage of a replica's KV cache in percent, on average."
    )
    running_requests: int | None = Field(
        default=None, ge=1, le=100_000, description="Requests that a replica is processing, on average."
    )


class Objective(ApiModel):
    """Latency that most requests should have. It decides how much load a replica is given."""

    time_to_first_token_milliseconds: int | None = Field(
        default=None, ge=1, le=3_600_000, description="Milliseconds until a request's first token. Defaults to 3000."
    )
    time_per_output_token_milliseconds: int | None = Field(
        default=None, ge=1, le=60_000, description="Milliseconds for each further token. Defaults to 200."
    )


class ScalingPolicy(ApiModel):
    """A limit on the changes within a period."""

    type: Literal["Pods", "Percent"] = Field(description="Pods: a number of replicas. Percent: of the replicas.")
    value: int = Field(ge=1, le=1000, description="The most replicas, or percent, to change within the period.")
    period_seconds: int = Field(ge=1, le=1800, description="Length of the period in seconds.")


class ScalingRules(ApiModel):
    """How fast to scale in one direction, as in a HorizontalPodAutoscaler."""

    stabilization_window_seconds: int | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="Seconds to look back: scaling up takes the lowest, scaling down the highest recommendation of "
        "that time. Defaults to 0 for scaling up and 300 for scaling down.",
    )
    select_policy: Literal["Max", "Min", "Disabled"] | None = Field(
        default=None,
        description="Which policy decides: the one that allows most, the one that allows least, or no scaling in this "
        "direction. Defaults to Max.",
    )
    policies: list[ScalingPolicy] = Field(
        default=[],
        max_length=8,
        description="Limits on the changes. Default to 100 percent or 4 replicas in 15 seconds, whichever is more, for "
        "scaling up, and to one sixth of the replicas in 60 seconds, at least one, for scaling down.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class Schedule(ApiModel):
    """A minimum during a time of day."""

    start: TimeOfDay = Field(description='Local time from which the minimum holds, such as "08:00".')
    end: TimeOfDay = Field(
        description="Local time at which it ends. At or before start: on the next day; equal to start: a whole day."
    )
    time_zone: ShortText = Field(
        default="UTC", description="Time zone of start and end, by its IANA name such as Europe/Berlin."
    )
    days: list[Day] = Field(
        default=[],
        max_length=7,
        description="Days on which it starts. Defaults to every day.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    min_replicas: int = Field(ge=0, description="Minimum number of replicas meanwhile.")


class Scaling(ApiModel):
    """Replicas follow demand. Leave spec.replicas out of the file: the operator writes it."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "self.minReplicas <= self.maxReplicas",
                "scaling.minReplicas must not exceed scaling.maxReplicas",
                field_path=".minReplicas",
            ),
            rule(
                "!has(self.schedules) || self.schedules.all(s, s.minReplicas <= self.maxReplicas)",
                "the minReplicas of a schedule must not exceed scaling.maxReplicas",
                field_path=".schedules",
            ),
            rule(
                "!has(self.idleAfterSeconds) || self.minReplicas == 0",
                "scaling.idleAfterSeconds has an effect only with minReplicas: 0",
                field_path=".idleAfterSeconds",
            ),
            rule(
                "!has(self.targets) || !has(self.objective)",
                "scaling.objective has no effect with scaling.targets: remove one of them",
                field_path=".objective",
            ),
        )
    )

    min_replicas: int = Field(default=1, ge=0, description="Minimum number of replicas. With 0, an idle service stops.")
    max_replicas: int = Field(ge=1, le=REPLICAS_LIMIT, description="Maximum number of replicas.")
    mode: Literal["Auto", "Recommend"] = Field(
        default="Auto",
        description="Auto: scale. Recommend: only report in status.scaling what Auto would do.",
    )
    source: Literal["Pods", "Prometheus"] = Field(
        default="Pods",
        description="Where metrics are read: from the pods, or from the Prometheus in the operator's settings.",
    )
    targets: Targets | None = Field(
        default=None,
        description="Scale by these values only, as a HorizontalPodAutoscaler would. "
        "Defaults to scaling by the demand that the engine's counters show.",
    )
    objective: Objective | None = Field(default=None, description="Latency that most requests should have.")
    scale_up: ScalingRules = Field(default=ScalingRules(), description="How fast to scale up.")
    scale_down: ScalingRules = Field(default=ScalingRules(), description="How fast to scale down.")
    schedules: list[Schedule] = Field(
        default=[],
        max_length=16,
        description="Minimums by time of day; the highest that holds counts. Each begins early, by the time that a "
        "replica takes to start.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    idle_after_seconds: int | None = Field(
        default=None,
        ge=30,
        le=604_800,
        description="Seconds without a request after which the service scales to zero, with minReplicas: 0. "
        "Defaults to 600.",
    )


class ScalingInput(ApiModel):
    """What a signal showed when the decision was made."""

    signal: Word = Field(description="Name of the signal, such as queueDepth or demand.")
    value: str = Field(max_length=63, description='Its value over all replicas, with its unit; "unknown" if it is.')
    replicas: int | None = Field(default=None, ge=0, description="Number of replicas that it asks for.")


class ScalingChange(ApiModel):
    """A change of the number of replicas."""

    time: str = Field(description="When it was made.", json_schema_extra={"format": "date-time"})
    from_: int = Field(ge=0, alias="from", description="Number of replicas before.")
    to: int = Field(ge=0, description="Number of replicas after.")
    reason: Word = Field(description="Machine-readable reason, in CamelCase.")


class ScalingStatus(ApiModel):
    """The last decision of automatic scaling."""

    mode: Literal["Auto", "Recommend"] = Field(description="Mode in which it was made; Recommend changes nothing.")
    current: int = Field(ge=0, description="Number of replicas when the decision was made.")
    desired: int = Field(ge=0, description="Number of replicas that the decision came to.")
    achievable: int | None = Field(
        default=None, ge=0, description="Number of replicas that fit now; set where that is less than desired."
    )
    reason: Word = Field(description="Machine-readable reason, in CamelCase.")
    message: Annotated[str, StringConstraints(max_length=2048)] = Field(
        description="The decision in words: what it follows from, and what limits it."
    )
    inputs: list[ScalingInput] = Field(
        default=[],
        max_length=16,
        description="What the signals showed.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["signal"]},
    )
    history: list[ScalingChange] = Field(
        default=[],
        max_length=10,
        description="The last ten changes, most recent first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    decided_at: str = Field(
        description="When the decision, or what limits it, last changed.", json_schema_extra={"format": "date-time"}
    )
