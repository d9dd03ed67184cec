"""The two ways in which a reconcile, or the start of a program, ends early.

Whatever is neither of these is a bug or the network: the queue backs off and tries again. The reasons are types, so
that each place that raises one is checked against this list.
"""

from typing import Literal

from modelyard.contract.fetch_report import Reason

Refusal = Literal[
    "InvalidSpec",
    "UnknownEngine",
    "UnknownSource",
    "UnknownAccelerator",
    "UnknownProfile",
    "InvalidProfile",
    "PodTemplateFieldForbidden",
    "NoEngineImage",
    "NoPrometheus",
    "EngineArgumentRefused",
    "EngineVariableRefused",
    "PodTemplateRefused",
    "PodTemplateInvalid",
    "NameTaken",
    "ChildRefused",
]
"""Why a spec cannot be applied. The message, remedy included, is written where the error is raised."""

Wait = Literal["PredecessorTerminating", "NamespaceTerminating"]
"""Why a spec cannot be applied yet."""

StartRefusal = Literal["SettingsInvalid"]
"""Why the operator does not start: no condition ever has it."""


class InvalidError(Exception):
    """The user must act: retrying changes nothing until the spec, the settings or the environment change.

    ``reason`` lands in a condition (a fetcher's by way of its report); ``message`` names the fault and its remedy.
    """

    def __init__(self, reason: Refusal | Reason | StartRefusal, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class NotReadyError(Exception):
    """Something that needs no action is not there yet: retry in ``after_s`` seconds."""

    def __init__(self, reason: Wait, message: str, after_s: float) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.after_s = after_s
