"""The reasons of decisions, as a condition and status.scaling have them."""

# What runs is what is needed, or changes to it.
STEADY = "Steady"
SCALING_UP = "DemandRose"
SCALING_DOWN = "DemandFell"
CANCELLED = "PendingCancelled"

# More would be needed.
STARTING = "ReplicasStarting"
UP_STABILIZING = "WaitingToScaleUp"
UP_LIMITED = "ScaleUpLimited"
AT_MAXIMUM = "AtMaximum"

# Less would be enough.
DOWN_STABILIZING = "WaitingToScaleDown"
DOWN_LIMITED = "ScaleDownLimited"
UNREADY = "ReplicasUnready"
PARTLY_UNKNOWN = "MetricsIncomplete"
AT_MINIMUM = "AtMinimum"
SCHEDULED = "Scheduled"
MAXIMUM_LOWERED = "MaximumLowered"
CAPACITY_LOWERED = "CapacityLowered"

# Nothing is known.
METRICS_UNAVAILABLE = "MetricsUnavailable"
MEASURING = "Measuring"

# To zero and back.
IDLE = "Idle"
NOT_IDLE = "NotIdleYet"
WOKEN = "Woken"
START_FAILED = "StartFailed"
STOPPED = "ScaledToZero"

# A change that no decision made: someone else wrote the number of replicas.
BY_OTHERS = "ScaledByOthers"

EVERY = frozenset(value for name, value in vars().items() if name.isupper() and isinstance(value, str))
