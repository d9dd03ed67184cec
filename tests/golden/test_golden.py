"""Whole objects as they are applied: cases/x.yaml, what a user and a platform team wrote, gives expected/x.yaml.

A case is a service and, behind it, the settings and the profile that are not the defaults.

`pytest tests/golden --update-golden` writes the expected files anew; their diff is reviewed like code. A change there
is a rollout of users' pods unless desired/template_record.py keeps it from them.
"""

from pathlib import Path

import pytest
import yaml
from kubernetes.client import V1ConfigMap, V1Deployment, V1Job, V1NetworkPolicy, V1PodDisruptionBudget, V1Service
from pydantic import BaseModel

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.desired import desired
from modelyard.integrations.engines.flags import flag_names
from tests.support.golden_cases import CASES, planned, read
from tests.support.pod_security import violations
from tests.support.prefetching import job_for
from tests.support.rendering import REPOSITORY, deployment, engine_command, engine_flags, resolved

FOLDER = Path(__file__).parent
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))
MODELS: dict[str, type[BaseModel]] = {
    "ConfigMap": V1ConfigMap,
    "Deployment": V1Deployment,
    "Service": V1Service,
    "PodDisruptionBudget": V1PodDisruptionBudget,
    "NetworkPolicy": V1NetworkPolicy,
    "Job": V1Job,
}


class _Dumper(yaml.SafeDumper):
    """Writes each object out in full, where it occurs."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class's signature
        return True


def _children(path: Path) -> list[Object]:
    case, round_ = read(path), planned(path)
    job = [job_for(case["body"], round_, case["settings"])] if round_ else []
    return [*desired(resolved(**case)), *job]


def _name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_case_renders_as_expected(case: Path, request: pytest.FixtureRequest) -> None:
    expected = FOLDER / "expected" / case.name
    rendered = yaml.dump_all(_children(case), Dumper=_Dumper, sort_keys=True, width=120)
    if request.config.getoption("--update-golden"):
        expected.write_text(rendered)
    assert rendered == expected.read_text(), f"review, then pytest tests/golden --update-golden: {expected.name}"


def test_every_expected_file_has_a_case() -> None:
    assert [path.name for path in CASES] == sorted(path.name for path in (FOLDER / "expected").iterdir())


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_case_first_explains_why_it_exists(case: Path) -> None:
    assert case.read_text().startswith("# ")


@pytest.mark.parametrize("case", CASES + EXAMPLES, ids=_name)
def test_children_are_valid_for_kubernetes(case: Path) -> None:
    children = _children(case)
    present = {child["kind"] for child in children}
    assert {"Service", "PodDisruptionBudget", "Deployment"} <= present
    assert [child["kind"] for child in children] == [kind.kind for kind in kinds.OWNED if kind.kind in present]
    for child in children:
        MODELS[child["kind"]].model_validate(child)


@pytest.mark.parametrize("case", CASES + EXAMPLES, ids=_name)
def test_pods_pass_pod_security_restricted(case: Path) -> None:
    pods = [child["spec"]["template"]["spec"] for child in _children(case) if "template" in child.get("spec", {})]
    assert [violation for spec in pods for violation in violations(spec)] == []


@pytest.mark.parametrize("case", CASES + EXAMPLES, ids=_name)
def test_every_flag_is_one_that_the_engine_has(case: Path) -> None:
    service = resolved(**read(case)).lead
    container = deployment(**read(case))["spec"]["template"]["spec"]["containers"][0]
    flags = flag_names(engine_command(container))
    assert {"vllm": {"--served-model-name", "--port"}, "triton": {"--model-repository"}}[service.engine.name] <= flags
    assert flags - engine_flags(service.engine.name) == set()


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_rendering_again_changes_nothing(case: Path) -> None:
    present = deployment(**read(case))
    assert deployment(**read(case), present=present) == present
