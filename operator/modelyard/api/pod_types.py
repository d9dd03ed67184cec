"""Types that follow a pod's and a Service's own: environment, pull secrets, labels, annotations, the pod template."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema

from modelyard.api.fields import Annotations, ApiModel, DataKey, Labels, ObjectName, rule, with_rules

PodSpec = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""A part of a pod's spec. Its whole schema would be half a megabyte in the CRD, so the API server checks it only once
it is a part of the Deployment; its size is bounded in desired/pod_template.py."""


class KeyReference(ApiModel):
    """One key of a Secret or ConfigMap in this namespace."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: ObjectName = Field(description="Name of the Secret or ConfigMap.")
    key: DataKey = Field(description="Key of its data.")
    optional: bool | None = Field(
        default=None, description="true: start without the variable when the object or the key is missing."
    )


class EnvironmentSource(ApiModel):
    """Where an environment variable's value is kept."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule(
                "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                "valueFrom takes one of secretKeyRef and configMapKeyRef",
            )
        )
    )

    secret_key_ref: KeyReference | None = Field(default=None, description="The key of a Secret that holds the value.")
    config_map_key_ref: KeyReference | None = Field(
        default=None, description="The key of a ConfigMap that holds the value."
    )


class EnvironmentVariable(ApiModel):
    """A variable of the engine's environment, as in a container."""

    model_config = ConfigDict(
        json_schema_extra=with_rules(
            rule("!(has(self.value) && has(self.valueFrom))", "an engine.env entry takes value or valueFrom, not both")
        )
    )

    name: Annotated[str, StringConstraints(max_length=253)] = Field(
        description="Name of the variable.",
        json_schema_extra=with_rules(
            rule(
                "self.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
                "must be the name of a variable: letters, digits, '_', '-' and '.', not beginning with a digit",
            )
        ),
    )
    value: Annotated[str, StringConstraints(max_length=32768)] | None = Field(
        default=None, description="Its value. Unset, and without valueFrom: empty."
    )
    value_from: EnvironmentSource | None = Field(default=None, description="Where its value is kept, instead of value.")


class PullSecret(ApiModel):
    """A Secret that images are pulled with."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: ObjectName = Field(description="Secret of type kubernetes.io/dockerconfigjson in this namespace.")


class ServiceMetadata(ApiModel):
    """What the Service in front of the pods carries for others who read it."""

    labels: Labels = Field(default={}, description="Labels of the Service, beside modelyard's own.")
    annotations: Annotations = Field(
        default={},
        description="Annotations of the Service, for example for a load balancer, a mesh or a DNS controller.",
    )


class PodTemplateMetadata(ApiModel):
    """Labels and annotations of the pods."""

    labels: Labels = Field(default={}, description="Labels of the pods, beside modelyard's own.")
    annotations: Annotations = Field(default={}, description="Annotations of the pods, for example for a mesh.")


class PodTemplate(ApiModel):
    """Fields of the pods that have no field of their own here."""

    metadata: PodTemplateMetadata = Field(
        default=PodTemplateMetadata(), description="Labels and annotations of the pods."
    )
    spec: PodSpec = Field(
        default={},
        description="Part of a pod's spec, merged into modelyard's by the names of containers, volumes, variables and "
        "the like; $patch: replace in a map drops modelyard's part of it. The containers are engine and the init "
        "container modelyard-fetch. At most 32 KiB. What would break the service is refused by name in the condition "
        "Accepted.",
    )
