"""The source of a model: its URI, and the credentials, certificates and endpoint for reading it."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from modelyard.api.fields import ApiModel, DataKey, ObjectName, ShortText, rule, with_rules
from modelyard.contract.digests import DIGEST

ModelUri = Annotated[
    str,
    StringConstraints(max_length=2048),
    Field(
        json_schema_extra=with_rules(
            rule(
                r"self.matches('^[a-z][a-z0-9+.-]*://[^\\s/][^\\s]*$')",
                "model.uri must have the form scheme://location, for example s3://models/llama-3-8b",
            ),
            rule(
                "!self.startsWith('http://')",
                "model.uri must not use http://, because the model could be altered in transit: use https:// (with a "
                "private CA in model.caBundle) or s3://",
            ),
            rule(
                r"!self.startsWith('https://') || self.matches('^https://[^/@?#]+/[^?#]*[^/?#]$')",
                "an https:// model.uri must name a file, or a manifest.json that lists files, without user, password, "
                "query or fragment: put credentials in a Secret and name it in model.credentials.secretName",
            ),
            rule(
                "!self.startsWith('hf://') || "
                "self.matches('^hf://([A-Za-z0-9][-A-Za-z0-9_.]*/)?[A-Za-z0-9][-A-Za-z0-9_.]*(@[^@]+)?$')",
                "an hf:// model.uri must be hf://org/repository or hf://org/repository@revision, where revision is a "
                "branch, tag or commit",
            ),
            rule(
                "!self.startsWith('pvc://') || (self.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^/]+)*/?$')"
                " && !self.matches('/[.][.]?(/|$)'))",
                "a pvc:// model.uri must be pvc://claim/folder: the name of a PersistentVolumeClaim, then a path "
                "without '.', '..' and empty segments",
            ),
        )
    ),
]


ContentDigest = Annotated[
    str,
    StringConstraints(max_length=71),
    Field(
        json_schema_extra=with_rules(
            rule(
                f"self.matches('^{DIGEST.pattern}$')",
                "model.digest must be sha256: followed by 64 lower-case hexadecimal digits, as in status.model.digest",
            )
        )
    ),
]


def _url_rules(field: str, example: str) -> dict[str, Any]:
    """Rules for the URL of a server: no user information in it."""
    return with_rules(
        rule(
            r"self.matches('^https?://[^\\s/][^\\s]*$')",
            f"{field} must be an http:// or https:// URL, for example {example}",
        ),
        rule(
            "!self.contains('@')",
            f"{field} must not contain a user or password: put them in a Secret "
            "and name it in model.credentials.secretName",
        ),
    )


Url = Annotated[str, StringConstraints(max_length=2048)]


class Credentials(ApiModel):
    """Credentials for reading the model."""

    secret_name: ObjectName = Field(
        description="Secret in this namespace. s3://: keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "(and AWS_SESSION_TOKEN for temporary credentials); hf://: key HF_TOKEN; "
        "https://: key HTTPS_BEARER_TOKEN, or keys username and password."
    )


class CaBundle(ApiModel):
    """CA certificates to trust."""

    config_map_name: ObjectName = Field(description="ConfigMap in this namespace that contains the PEM certificates.")
    key: DataKey = Field(default="ca.crt", description="Key in the ConfigMap.")


class Proxy(ApiModel):
    """HTTP proxy for fetching the model."""

    url: Url | None = Field(
        default=None,
        description="URL of the proxy, such as http://proxy.example.com:3128. "
        "Defaults to the operator's setting fetch_proxy (none).",
        json_schema_extra=with_rules(
            rule(
                r"self.matches('^https?://[^\\s/]+/?$')",
                "model.proxy.url must be the URL of a proxy, without a path, for example http://proxy.example.com:3128",
            ),
            rule(
                "!self.contains('@')",
                "model.proxy.url must not contain a user or password: proxies that require them are not supported",
            ),
        ),
    )
    no_proxy: list[
        Annotated[
            str,
            StringConstraints(max_length=253),
            Field(
                json_schema_extra=with_rules(
                    rule(
                        "self.matches('^([*]|[A-Za-z0-9._:-]+)$')",
                        "must be a host name, a domain (.example.com), an IP address, or * for all hosts; URLs and "
                        "CIDRs are not supported",
                    )
                )
            ),
        ]
    ] = Field(
        default=[],
        max_length=64,
        description="Hosts to reach without the proxy, in addition to those in the operator's settings: host names, "
        "domains (.example.com, including all subdomains), IP addresses, or * for all.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class S3(ApiModel):
    """Connection to an S3 store other than AWS."""

    endpoint: Url | None = Field(
        default=None,
        description="URL of the S3 service, such as https://s3.example.com. Defaults to AWS.",
        json_schema_extra=_url_rules("model.s3.endpoint", "https://s3.example.com"),
    )
    region: ShortText | None = Field(default=None, description="Region for signing requests. Defaults to us-east-1.")
    addressing_style: Literal["path", "virtual"] | None = Field(
        default=None,
        description="path: the bucket is in the path (most private stores). virtual: the bucket is in the host name. "
        "Defaults to path when endpoint is set, else to virtual.",
    )
    ca_bundle: CaBundle | None = Field(
        default=None, description="CA certificates to trust for the endpoint. An alias of model.caBundle."
    )


class HuggingFace(ApiModel):
    """Connection to a hub with the Hugging Face API."""

    endpoint: Url | None = Field(
        default=None,
        description="URL of the hub or of a mirror. Defaults to https://huggingface.co.",
        json_schema_extra=_url_rules("model.hf.endpoint", "https://hub.example.com"),
    )


class Https(ApiModel):
    """Checksum of an https:// model."""

    sha256: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="SHA-256 of the file at model.uri, in hexadecimal; for a manifest.json, of the manifest itself.",
        json_schema_extra=with_rules(
            rule("self.matches('^[0-9a-f]{64}$')", "model.https.sha256 must be 64 lower-case hexadecimal digits")
        ),
    )


_HUB = "^https://(www[.])?(huggingface[.]co|hf[.]co)/"
"""Addresses of Hugging Face's own hub. One of its files may be named like any other server's, with a SHA-256."""

MODEL_RULES = (
    rule(
        f"!self.uri.matches('{_HUB}') || has(self.https)",
        "for a model on the Hugging Face Hub, set model.uri to hf://org/model or hf://org/model@revision",
        field_path=".uri",
    ),
    rule(
        f"!self.uri.startsWith('https://') || self.uri.matches('{_HUB}') || has(self.https)",
        "an https:// model.uri requires model.https.sha256, the SHA-256 of the file at model.uri",
        field_path=".https",
    ),
    rule(
        "!has(self.https) || self.uri.startsWith('https://')",
        "model.https is only valid with an https:// model.uri: remove it or change the uri",
        field_path=".https",
    ),
    rule(
        "!has(self.hf) || self.uri.startsWith('hf://')",
        "model.hf is only valid with an hf:// model.uri: remove it or change the uri",
        field_path=".hf",
    ),
    rule(
        "!self.uri.startsWith('pvc://') || !(has(self.credentials) || has(self.caBundle) || has(self.proxy))",
        "model.credentials, model.caBundle and model.proxy have no effect with a pvc:// model, which is mounted and "
        "not fetched: remove them",
        field_path=".uri",
    ),
    rule(
        "!has(self.digest) || !self.uri.startsWith('pvc://')",
        "model.digest has no effect with a pvc:// model, which is mounted and not fetched: remove it",
        field_path=".digest",
    ),
    rule(
        "!has(self.caBundle) || !has(self.s3) || !has(self.s3.caBundle)"
        " || (self.caBundle.configMapName == self.s3.caBundle.configMapName"
        " && self.caBundle.key == self.s3.caBundle.key)",
        "model.caBundle and model.s3.caBundle are the same setting and differ: keep model.caBundle",
        field_path=".caBundle",
    ),
)
"""Rules on the model as a whole."""
