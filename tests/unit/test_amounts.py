"""Amounts that no container can have are refused with the user's own field."""

import pytest

from modelyard.api.inference_service import Resources
from modelyard.contract.errors import InvalidError
from modelyard.desired.resource_rules import check
from tests.support.api_client import Object


@pytest.mark.parametrize(
    "resources",
    [
        {},
        {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        {"limits": {"example.com/fpga": 1}},
        {"requests": {"example.com/fpga": 2}, "limits": {"example.com/fpga": "2"}},
        {"requests": {"memory": "1Gi"}, "limits": {"hugepages-2Mi": "4Mi"}},
    ],
)
def test_what_a_container_can_have_is_let_through(resources: Object) -> None:
    check(Resources.model_validate(resources))


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"requests": {"example.com/fpga": 1}}, "spec.resources.requests contains example.com/fpga"),
        (
            {"requests": {"example.com/fpga": 1}, "limits": {"example.com/fpga": 2}},
            "spec.resources.requests contains example.com/fpga",
        ),
        ({"limits": {"example.com/fpga": "500m"}}, "spec.resources.limits.example.com/fpga is 500m"),
        ({"requests": {"cpu": 1}, "limits": {"hugepages-2Mi": "3Mi"}}, "spec.resources.limits.hugepages-2Mi is 3Mi"),
        ({"limits": {"hugepages-2Mi": "4Mi"}}, "cpu or memory"),
        (
            {"limits": {"example.com/fpga": "1e400"}},
            "limits.example.com/fpga: '1e400' is not a quantity",
        ),
    ],
)
def test_what_no_container_can_have_is_refused_by_name(resources: Object, message: str) -> None:
    with pytest.raises(InvalidError, match=message) as refused:
        check(Resources.model_validate(resources))
    assert refused.value.reason == "InvalidSpec"
