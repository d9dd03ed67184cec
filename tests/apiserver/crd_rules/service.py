"""Rules of an InferenceService."""

from collections.abc import Iterator

from tests.apiserver.crd_rules.case import Case, Changes
from tests.apiserver.crd_rules.label import LABEL_VALUE, label_cases, metadata_cases, peer_cases
from tests.apiserver.crd_rules.source import SOURCE_CASES
from tests.support.crd_schema import Rule

NAME = Rule(
    "",
    (
        "metadata.name becomes the name of a Service: at most 50 characters, lower-case letters, "
        "digits and '-', starting with a letter and not ending with '-'"
    ),
)
OBJECT_NAME = (
    "must be an object name: lower-case letters, digits, '-' and '.', where each part between "
    "dots starts and ends with a letter or digit"
)
DATA_KEY = "must be a key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'"
QUANTITY = "must be a non-negative quantity, such as 4, 500m or 32Gi"
RESOURCE_NAMES = (
    "must be cpu, memory, ephemeral-storage, hugepages-<size>, or an extended resource with "
    "its domain, such as nvidia.com/gpu"
)
SCHEDULE: Changes = {"start": "08:00", "end": "18:00", "minReplicas": 3}
SCALING_CASES = [
    Case(
        Rule("spec.scaling", "scaling.minReplicas must not exceed scaling.maxReplicas"),
        "spec.scaling.minReplicas",
        [{"spec.scaling": {"maxReplicas": 1}}, {"spec.scaling": {"minReplicas": 3, "maxReplicas": 3}}],
        [{"spec.scaling": {"minReplicas": 4, "maxReplicas": 3}}],
    ),
    Case(
        Rule("spec.scaling", "the minReplicas of a schedule must not exceed scaling.maxReplicas"),
        "spec.scaling.schedules",
        [{"spec.scaling": {"maxReplicas": 3, "schedules": [SCHEDULE]}}],
        [{"spec.scaling": {"maxReplicas": 2, "schedules": [SCHEDULE]}}],
    ),
    Case(
        Rule("spec.scaling", "scaling.idleAfterSeconds has an effect only with minReplicas: 0"),
        "spec.scaling.idleAfterSeconds",
        [{"spec.scaling": {"minReplicas": 0, "maxReplicas": 2, "idleAfterSeconds": 60}}],
        [{"spec.scaling": {"maxReplicas": 2, "idleAfterSeconds": 60}}],
    ),
    Case(
        Rule("spec.scaling", "scaling.objective has no effect with scaling.targets: remove one of them"),
        "spec.scaling.objective",
        [
            {"spec.scaling": {"maxReplicas": 2, "targets": {"queueDepth": 2}}},
            {"spec.scaling": {"maxReplicas": 2, "objective": {"timeToFirstTokenMilliseconds": 500}}},
        ],
        [
            {
                "spec.scaling": {
                    "maxReplicas": 2,
                    "targets": {"queueDepth": 2},
                    "objective": {"timeToFirstTokenMilliseconds": 500},
                }
            }
        ],
    ),
    Case(
        Rule(
            "spec.scaling.targets",
            "scaling.targets must set at least one of queueDepth, kvCacheUsage and runningRequests",
        ),
        "spec.scaling.targets",
        [{"spec.scaling.targets": {name: 4}} for name in ("queueDepth", "kvCacheUsage", "runningRequests")],
        [{"spec.scaling.targets": {}}],
    ),
    *(
        Case(
            Rule(f"spec.scaling.schedules[].{field}", 'must be a time of day from "00:00" to "23:59", in quotes'),
            f"spec.scaling.schedules[0].{field}",
            [{f"spec.scaling.schedules[].{field}": time} for time in ("00:00", "08:30", "23:59")],
            [{f"spec.scaling.schedules[].{field}": time} for time in ("", "24:00", "8:00", "08:60", "8am")],
        )
        for field in ("start", "end")
    ),
]
SINGLE_CASES = [
    Case(
        Rule("spec.model.aliases[]", "an alias must not begin with '-', or the engine reads it as a flag"),
        "spec.model.aliases[0]",
        [{"spec.model.aliases": [alias]} for alias in ("llama", "meta-llama/Llama-3", "a b")],
        [{"spec.model.aliases": [alias]} for alias in ("-x", "--model")],
    ),
    Case(
        Rule("spec.accelerator.product[]", LABEL_VALUE),
        "spec.accelerator.product[0]",
        [{"spec.accelerator.product": [name]} for name in ("NVIDIA-A10G", "AMD_Instinct_MI300X_OAM")],
        [{"spec.accelerator.product": [name]} for name in ("NVIDIA A10G", "A10G/L4", "-A10G")],
    ),
    Case(
        NAME,
        "<nil>",
        [{"metadata.name": name} for name in ("a", "a1-b", "a" * 50)],
        [{"metadata.name": name} for name in ("a" * 51, "1st", "a.b", "9")],
    ),
    Case(
        Rule("spec", "model.s3 is only valid with an s3:// model.uri: remove it or change the uri"),
        "spec.model.s3",
        [{"spec.model.uri": "s3://models/x"}, {"spec.model": {"uri": "hf://org/model"}}],
        [{"spec.model.uri": "hf://org/model"}],
    ),
    Case(
        Rule("spec.model.uri", "model.uri must have the form scheme://location, for example s3://models/llama-3-8b"),
        "spec.model.uri",
        [{"spec.model.uri": uri} for uri in ("s3://models", "s3://models/a/b@c")],
        [
            {"spec.model": {"uri": uri}}
            for uri in ("", "models/x", "s3:/models", "s3:///models", "S3://models", "s3://a b")
        ],
    ),
    Case(
        Rule(
            "spec",
            (
                "cache.prefetch and cache.prefetchNodeSelector have no effect with a pvc:// model, which "
                "is mounted and not fetched: remove them"
            ),
        ),
        "spec.cache",
        [
            {"spec.model": {"uri": "s3://models/x"}},
            {"spec.model": {"uri": "pvc://models/x"}, "spec.cache": {"medium": "NodeLocal"}},
        ],
        [
            {"spec.model": {"uri": "pvc://models/x"}, "spec.cache": requested}
            for requested in ({"prefetch": 1}, {"prefetchNodeSelector": {"pool": "gpu"}})
        ],
    ),
    Case(
        Rule(
            "spec.cache",
            (
                "cache.prefetch and cache.prefetchNodeSelector require the nodes' cache: set cache.medium "
                "to NodeLocal, or remove them"
            ),
        ),
        "spec.cache",
        [
            {"spec.cache": cache}
            for cache in ({"medium": "Ephemeral"}, {"medium": "NodeLocal", "prefetch": 1}, {"prefetch": 1})
        ],
        [
            {"spec.cache": {"medium": "Ephemeral", **requested}}
            for requested in ({"prefetch": 1}, {"prefetchNodeSelector": {"pool": "gpu"}})
        ],
    ),
    Case(
        Rule("spec.engine.env[]", "an engine.env entry cannot have both value and valueFrom"),
        "spec.engine.env[0]",
        [{"spec.engine.env": [{"name": "A"}]}, {"spec.engine.env": [{"name": "A", "value": ""}]}],
        [{"spec.engine.env": [{"name": "A", "value": "", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}],
    ),
    Case(
        Rule("spec.engine.env[].valueFrom", "valueFrom must have exactly one of secretKeyRef and configMapKeyRef"),
        "spec.engine.env[1].valueFrom",
        [{"spec.engine.env[].valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}],
        [
            {"spec.engine.env[].valueFrom": {}},
            {
                "spec.engine.env[].valueFrom": {
                    "configMapKeyRef": {"name": "a", "key": "b"},
                    "secretKeyRef": {"name": "a", "key": "b"},
                }
            },
        ],
    ),
    Case(
        Rule(
            "spec.engine.env[].name",
            "must be a variable name: letters, digits, '_', '-' and '.', not starting with a digit",
        ),
        "spec.engine.env[0].name",
        [{"spec.engine.env[].name": name} for name in ("HF_HOME", "_x", "my.name-2")],
        [{"spec.engine.env[].name": name} for name in ("", "2ND", "A=B", "A B")],
    ),
    Case(
        Rule(
            "spec.engine.triton.models[]",
            (
                "must be the name of a model's folder in the repository: letters, digits, '_', '-' and "
                "'.', starting with a letter, a digit or '_'"
            ),
        ),
        "spec.engine.triton.models[0]",
        [{"spec.engine.triton.models[]": name} for name in ("detect", "classify.v2", "_x", "8b-INT8")],
        [{"spec.engine.triton.models[]": name} for name in ("", "*", "a/b", "..", "-x", "a,b")],
    ),
    Case(
        Rule(
            "spec.accelerator",
            (
                "accelerator.count, accelerator.resource and accelerator.product have no effect with type "
                "cpu: remove them, and request cores in resources"
            ),
        ),
        "spec.accelerator",
        [{"spec.accelerator": {"type": "cpu"}}, {"spec.accelerator": {"count": 2}}, {"spec.accelerator": {}}],
        [
            {"spec.accelerator": {"type": "cpu", "count": 1}},
            {"spec.accelerator": {"type": "cpu", "resource": "nvidia.com/gpu"}},
            {"spec.accelerator": {"type": "cpu", "product": ["NVIDIA-A10G"]}},
        ],
    ),
    Case(
        Rule(
            "spec.accelerator.resource",
            "accelerator.resource must be an extended resource with its domain, such as nvidia.com/gpu",
        ),
        "spec.accelerator.resource",
        [{"spec.accelerator.resource": name} for name in ("nvidia.com/mig-1g.5gb", "amd.com/gpu")],
        [{"spec.accelerator.resource": name} for name in ("", "gpu", "nvidia.com/", "a/b/c", "a..b/c", "a.-b/c")],
    ),
    Case(
        Rule("spec.resources", "resources.requests must not exceed resources.limits"),
        "spec.resources.requests",
        [
            {"spec.resources": {"requests": {"cpu": requested}, "limits": {"cpu": most}}}
            for requested, most in ((1, "1000m"), ("500m", 1), ("1e3", "1k"))
        ],
        [
            {"spec.resources": {"requests": {"cpu": requested}, "limits": {"cpu": most}}}
            for requested, most in ((2, "1999m"), ("1Gi", "1G"), (2**63 - 1, "1"))
        ],
    ),
]


def repeated_cases() -> Iterator[Case]:
    """The rules of types that several fields have."""
    for place, example in (
        ("spec.model.s3.endpoint", "https://s3.example.com"),
        ("spec.model.hf.endpoint", "https://hub.example.com"),
    ):
        field = place.removeprefix("spec.")
        yield Case(
            Rule(place, f"{field} must be an http:// or https:// URL, for example {example}"),
            place,
            [{place: url} for url in ("http://s3.default.svc:8333", "https://s3.example.com/store")],
            [{place: url} for url in ("", "s3.example.com", "https://", "ftp://s3.example.com")],
        )
        yield Case(
            Rule(
                place,
                f"{field} must not contain a user or password: put them in a Secret and name it in "
                "model.credentials.secretName",
            ),
            place,
            [{place: "https://s3.example.com"}],
            [{place: "https://user:password@s3.example.com"}],
        )
    for place, blames in (
        ("spec.model.credentials.secretName", "spec.model.credentials.secretName"),
        ("spec.model.s3.caBundle.configMapName", "spec.model.s3.caBundle.configMapName"),
        ("spec.model.caBundle.configMapName", "spec.model.caBundle.configMapName"),
        ("spec.serviceAccountName", "spec.serviceAccountName"),
        ("spec.imagePullSecrets[].name", "spec.imagePullSecrets[0].name"),
        ("spec.profile", "spec.profile"),
        ("spec.engine.env[].valueFrom.secretKeyRef.name", "spec.engine.env[1].valueFrom.secretKeyRef.name"),
        ("spec.engine.env[].valueFrom.configMapKeyRef.name", "spec.engine.env[2].valueFrom.configMapKeyRef.name"),
    ):
        yield Case(
            Rule(place, OBJECT_NAME),
            blames,
            [{place: name} for name in ("a", "s3-read", "my.secret")],
            [{place: name} for name in ("", "S3", "a_b", "-a", "a.")],
        )
    for place, blames in (
        ("spec.model.s3.caBundle.key", "spec.model.s3.caBundle.key"),
        ("spec.model.caBundle.key", "spec.model.caBundle.key"),
        ("spec.engine.env[].valueFrom.secretKeyRef.key", "spec.engine.env[1].valueFrom.secretKeyRef.key"),
        ("spec.engine.env[].valueFrom.configMapKeyRef.key", "spec.engine.env[2].valueFrom.configMapKeyRef.key"),
    ):
        yield Case(
            Rule(place, DATA_KEY),
            blames,
            [{place: key} for key in ("ca.crt", "API_KEY", "a-b")],
            [{place: key} for key in ("", "a/b", "a b")],
        )
    for place, other in (
        ("spec.resources.requests", "spec.resources.limits"),
        ("spec.resources.limits", "spec.resources.requests"),
    ):
        alone: Changes = {other: {}}
        yield Case(
            Rule(place, RESOURCE_NAMES),
            place,
            [
                alone | {place: {name: 1}}
                for name in ("cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "example.com/fpga")
            ],
            [alone | {place: {name: 1}} for name in ("cpus", "gpu", "Memory", "hugepages-", "--model=/x", "a..b/c")],
        )
        yield Case(
            Rule(f"{place}{{}}", QUANTITY),
            f"{place}[cpu]",
            [alone | {place: {"cpu": amount}} for amount in (0, 4, "0.5", "500m", "1e3", "32Gi")],
            [alone | {place: {"cpu": amount}} for amount in (-1, "-1", "", "4 cores", "32GB")],
        )


CASES = [
    *SINGLE_CASES,
    *SCALING_CASES,
    *SOURCE_CASES,
    *repeated_cases(),
    *label_cases(),
    *peer_cases(),
    *metadata_cases(),
]
