"""Building blocks of the API's types: the base model, bounded strings, quantities, and CEL rules with messages.

The API server estimates the cost of a CEL rule from the bounds of the fields it reads, and rejects a CRD whose rules
could cost too much: hence no string, list or map is unbounded. Rules are preferred to ``pattern``, whose message shows
only a regular expression.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from modelyard.contract import names


class ApiModel(BaseModel):
    """Frozen, camelCase on the wire, and tolerant of fields from a newer CRD."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


def rule(expression: str, message: str, field_path: str | None = None) -> dict[str, str]:
    """A CEL rule of the CRD; ``message`` explains what to write instead.

    ``field_path`` (".model.s3") is the field to report when a rule on an object concerns one of its fields.
    """
    return {"rule": expression, "message": message} | ({"fieldPath": field_path} if field_path else {})


def with_rules(*rules: dict[str, str], **keywords: Any) -> dict[str, Any]:
    """JSON-schema extras of a field or type: CEL rules and structural-schema keywords."""
    return {"x-kubernetes-validations": list(rules), **keywords}


Word = Annotated[str, StringConstraints(min_length=1, max_length=63)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=253)]
ImageName = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Argument = Annotated[str, StringConstraints(min_length=1, max_length=4096)]

DOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""A DNS-1123 subdomain, as a regular expression inside a CEL text."""

ObjectName = Annotated[
    str,
    StringConstraints(max_length=253),
    Field(
        json_schema_extra=with_rules(
            rule(
                f"self.matches('^{DOMAIN}$')",
                "must be an object name: lower-case letters, digits, '-' and '.', where each part between dots starts "
                "and ends with a letter or digit",
            )
        )
    ),
]
"""Name of an object in the service's own namespace (a DNS-1123 subdomain)."""

DataKey = Annotated[
    str,
    StringConstraints(max_length=253),
    Field(
        json_schema_extra=with_rules(
            rule(
                "self.matches('^[-._a-zA-Z0-9]+$')",
                "must be a key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'",
            )
        )
    ),
]
"""A key of a Secret's or ConfigMap's data."""

Quantity = Annotated[
    int | str,
    Field(
        json_schema_extra={
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "maxLength": 64,
            "x-kubernetes-validations": [
                rule(
                    "type(self) == int ? self >= 0 : isQuantity(self) && !quantity(self).isLessThan(quantity('0'))",
                    "must be a non-negative quantity, such as 4, 500m or 32Gi",
                )
            ],
        }
    ),
]
"""An amount of a resource, as in a pod; a fraction is written as a string ("0.5" or 500m)."""

NAME_PART = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
"""The part after the domain in a label key or resource name: at most 63 characters."""

EXTENDED_RESOURCE = f"^{DOMAIN}/{NAME_PART}$"

Amounts = Annotated[
    dict[str, Quantity],
    Field(
        max_length=16,
        json_schema_extra=with_rules(
            rule(
                "self.all(name, name in ['cpu', 'memory', 'ephemeral-storage']"
                " || name.matches('^hugepages-[1-9][0-9]*[KMG]i$')"
                f" || (name.matches('{EXTENDED_RESOURCE}') && name.indexOf('/') <= 253))",
                "must be cpu, memory, ephemeral-storage, hugepages-<size>, or an extended resource with its domain, "
                "such as nvidia.com/gpu",
            )
        ),
    ),
]
"""Quantities by resource, as in a container's requests."""

_LABEL_KEY = f"^({DOMAIN}/)?{NAME_PART}$"
_LABEL_KEY_MESSAGE = (
    "must be a label key: an optional domain and '/', then at most 63 letters, digits, '-', '_' and '.', starting and "
    "ending with a letter or digit"
)


def _is_label_key(variable: str) -> str:
    """The CEL expression that checks whether ``variable`` is a label key."""
    return f"{variable}.matches('{_LABEL_KEY}') && {variable}.indexOf('/') <= 253"


LabelKey = Annotated[
    str,
    StringConstraints(max_length=317),
    Field(json_schema_extra=with_rules(rule(_is_label_key("self"), _LABEL_KEY_MESSAGE))),
]
"""Key of a label."""

LabelValue = Annotated[
    str,
    StringConstraints(max_length=63),
    Field(
        json_schema_extra=with_rules(
            rule(
                f"self.matches('^({NAME_PART})?$')",
                "must be a label value: letters, digits, '-', '_' and '.', starting and ending with a letter or digit, "
                "or empty",
            )
        )
    ),
]
"""Value of a label."""

_KEYS = rule(f"self.all(key, {_is_label_key('key')})", _LABEL_KEY_MESSAGE.replace("must", "each key must"))
_NOT_OURS = rule(
    f"self.all(key, !key.startsWith('{names.GROUP}/') && !(key in {list(names.RECOMMENDED_LABELS)}))",
    f"{names.GROUP}/... and app.kubernetes.io/{{name,instance,component,part-of,managed-by}} are reserved for "
    "modelyard: choose another key",
)

WantedLabels = Annotated[dict[str, LabelValue], Field(max_length=16, json_schema_extra=with_rules(_KEYS))]
"""Labels that a selector matches."""

Labels = Annotated[dict[str, LabelValue], Field(max_length=32, json_schema_extra=with_rules(_NOT_OURS, _KEYS))]
"""Labels that a user adds to modelyard's own."""

Annotations = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=4096)]],
    Field(max_length=32, json_schema_extra=with_rules(_NOT_OURS, _KEYS)),
]
"""Annotations that a user adds to modelyard's own; together at most the 256 KiB that an object may have."""
