"""Rules of a ServingProfile: those that it shares with the service's spec, and its own."""

from modelyard.api import crd
from modelyard.api.profile import ServingProfile
from tests.apiserver.crd_rules.case import Case
from tests.apiserver.crd_rules.service import CASES
from tests.support import crd_schema
from tests.support.crd_schema import Rule

PROFILE_RULES = crd_schema.rules(crd.schema(ServingProfile))
PROFILE_CASES = [
    *(case for case in CASES if case.rule in PROFILE_RULES),
    Case(
        Rule("", "metadata.name must have at most 63 characters, so that it fits in a namespace's label"),
        "<nil>",
        [{"metadata.name": "a" * 63}],
        [{"metadata.name": "a" * 64}],
    ),
    Case(
        Rule("spec.engine", "engine.version, image, args and env apply to one engine: set engine.type"),
        "spec.engine",
        [{"spec.engine": {}}, {"spec.engine": {"type": "vllm"}}, {"spec.engine": {"type": "vllm", "args": ["--a"]}}],
        [
            {"spec.engine": fields}
            for fields in ({"version": "0.32.0"}, {"image": "a"}, {"args": ["--a"]}, {"env": [{"name": "A"}]})
        ],
    ),
    Case(
        Rule(
            "spec.engine.args[]",
            (
                "must be a flag and its value in one argument, such as --max-model-len=8192, so that a "
                "service can override it by the flag's name"
            ),
        ),
        "spec.engine.args[0]",
        [{"spec.engine.args": [flag]} for flag in ("--max-model-len=8192", "-tp=2", "--enforce-eager")],
        [{"spec.engine.args": [text]} for text in ("", "8192", "-", "--", "max-model-len=8192", " --a")],
    ),
    Case(
        Rule(
            "spec.forbid[]",
            (
                "must be the path of a field in spec.podTemplate, without list indexes, such as "
                "spec.hostNetwork or spec.volumes.hostPath"
            ),
        ),
        "spec.forbid[0]",
        [{"spec.forbid": [path]} for path in ("spec.hostNetwork", "spec.volumes.hostPath", "metadata.annotations")],
        [{"spec.forbid": [path]} for path in ("", "spec", "hostNetwork", "spec.volumes[0]", "spec.", "spec..a")],
    ),
]
