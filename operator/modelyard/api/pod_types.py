"""Types modelled on a pod's and a Service's: environment, pull secrets, labels, annotations, the pod template."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema

from modelyard.api.fields import Annotations, ApiModel, DataKey, Labels, ObjectName, rule, with_rules

PodSpec = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""A partial pod spec. Its full schema would add half a megabyte to the CRD, so the API server validates it only as part
of the Deployment; desired/pod_template.py bounds its size."""


class KeyReference(ApiModel):
    """Reference to a key of a Secret or ConfigMap in this namespace."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: ObjectName = Field(description="Name of the Secret or ConfigMap.")
    key: DataKey = Field(description="Key in its data.")
    optional: bool | None = Field(
        default=None, description="If true, the pod starts without the variable when the object or key is missing."
    )


class EnvironmentSource(ApiModel):
    """Source of an environment variable's value."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                "valueFrom must have exactly one of secretKeyRef and configMapKeyRef",
            )
        )
    )

    secret_key_ref: KeyReference | None = Field(default=None, description="Key of a Secret.")
    config_map_key_ref: KeyReference | None = Field(default=None, description="Key of a ConfigMap.")


class EnvironmentVariable(ApiModel):
    """Environment variable of the engine's container."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "!(has(self.value) && has(self.valueFrom))",
                "an engine.env entry cannot have both value and valueFrom",
            )
        )
    )

    name: Annotated[str, StringConstraints(max_length=253)] = Field(
        description="Name of the variable.",
        json_schema_extra=with_rules(
            rule(
                "self.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
                "must be a variable name: letters, digits, '_', '-' and '.', not starting with a digit",
            )
        ),
    )
    value: Annotated[str, StringConstraints(max_length=32768)] | None = Field(
        default=None, description="Value of the variable. Defaults to empty, unless valueFrom is set."
    )
    value_from: EnvironmentSource | None = Field(default=None, description="Source of the value, instead of value.")


class PullSecret(ApiModel):
    """Secret for pulling images."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: ObjectName = Field(description="Secret of type kubernetes.io/dockerconfigjson in this namespace.")


class ServiceMetadata(ApiModel):
    """Labels and annotations of the Service in front of the pods."""

    labels: Labels = Field(default={}, description="Labels of the Service, in addition to modelyard's own.")
    annotations: Annotations = Field(
        default={},
        description="Annotations of the Service, for example for a load balancer, a mesh or a DNS controller.",
    )


class PodTemplateMetadata(ApiModel):
    """Labels and annotations of the pods."""

    labels: Labels = Field(default={}, description="Labels of the pods, in addition to modelyard's own.")
    annotations: Annotations = Field(default={}, description="Annotations of the pods, for example for a mesh.")


class PodTemplate(ApiModel):
    """Pod fields that the InferenceService has no field for."""

    metadata: PodTemplateMetadata = Field(
        default=PodTemplateMetadata(), description="Labels and annotations of the pods."
    )
    spec: PodSpec = Field(
        default={},
        description="Partial pod spec, merged into modelyard's. Containers, volumes, variables and the like merge by "
        "name; $patch: replace in a map replaces modelyard's part of it. The containers are engine and the init "
        "container modelyard-fetch. At most 32 KiB. Fields that would break the service are refused by name in the "
        "condition Accepted.",
    )
