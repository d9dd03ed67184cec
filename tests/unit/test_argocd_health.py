"""What Argo CD makes of a service's status, by the Lua that it runs."""

import pytest
from lupa.lua54 import LuaRuntime

from modelyard.api.service import Object
from tests.support.rendering import REPOSITORY

SCRIPT = (REPOSITORY / "deploy" / "argocd" / "health.lua").read_text()


def health(body: Object) -> tuple[str, str]:
    """Status and message."""
    lua = LuaRuntime(register_eval=False)
    lua.globals().obj = lua.table_from(body, recursive=True)
    found = lua.execute(SCRIPT)
    return found["status"], found["message"]


def service(*conditions: tuple[str, str, str], observed: int = 2) -> Object:
    written = [{"type": type_, "status": status, "reason": why, "message": "So."} for type_, status, why in conditions]
    return {"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": written}}


READY, ACCEPTED = ("Ready", "True", "Ready"), ("Accepted", "True", "Accepted")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"metadata": {"generation": 1}}, "Progressing", "The operator has not observed the current spec yet."),
        (service(READY, ACCEPTED, observed=1), "Progressing", "The operator has not observed the current spec yet."),
        (service(READY, ACCEPTED), "Healthy", "Ready: So."),
        (service(READY, ACCEPTED, ("Reconciling", "True", "RollingOut")), "Progressing", "RollingOut: So."),
        (service(READY, ACCEPTED, ("Stalled", "True", "ImagePullFailed")), "Degraded", "ImagePullFailed: So."),
        (
            service(("Ready", "False", "CrashLooping"), ("Stalled", "True", "CrashLooping")),
            "Degraded",
            "CrashLooping: So.",
        ),
        (service(("Ready", "False", "ScaledToZero"), ACCEPTED), "Suspended", "ScaledToZero: So."),
        (service(READY, ("Accepted", "Unknown", "Paused")), "Suspended", "Paused: So."),
        (service(("Ready", "False", "Creating"), ACCEPTED), "Progressing", "Creating: So."),
        (service(), "Progressing", ""),
    ],
)
def test_argo_cd_shows_what_the_conditions_report(body: Object, status: str, message: str) -> None:
    assert health(body) == (status, message)
