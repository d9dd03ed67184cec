"""What a new operator logs of a service with which nothing goes wrong: nothing bad. Runs alone."""

import json

import pytest

from e2e.support.installation import Installation
from e2e.support.kubectl import Kubectl, Object
from e2e.support.services import service
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

READY_S = 240


def test_the_log_of_a_clean_run_shows_no_error_and_no_forbidden_call(
    namespace: Kubectl, standin: Object, installation: Installation
) -> None:
    installation.restart()
    namespace.apply(service("clean", engine=standin))
    namespace.wait("infsvc/clean", "condition=Ready", READY_S)
    namespace.run("scale", "infsvc/clean", "--replicas=2")
    namespace.wait("infsvc/clean", "jsonpath={.status.readyReplicas}=2", READY_S)
    namespace.run("delete", "infsvc/clean", "--wait=true")
    eventually(lambda: not namespace.list("pods"), within_s=60, every_s=1)

    lines = [json.loads(line) for line in installation.log().splitlines()]
    assert lines, "the operator logs nothing"
    assert [line for line in lines if line["level"] in ("ERROR", "CRITICAL", "WARNING")] == []
    assert [line for line in lines if "forbidden" in json.dumps(line).lower()] == []
