"""Where a model comes from, as a user writes it: the URI, and what is needed to read it there."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from modelyard.api.fields import ApiModel, DataKey, ObjectName, ShortText, rule, with_rules

ModelUri = Annotated[
    str,
    StringConstraints(max_length=2048),
    Field(
        json_schema_extra=with_rules(
            rule(
                r"self.matches('^[a-z][a-z0-9+.-]*://[^\\s/][^\\s]*$')",
                "model.uri must look like scheme://place, for example s3://models/llama-3-8b",
            ),
            rule(
                "!self.startsWith('http://')",
                "model.uri may not begin with http://, where anybody on the way can change the model: use https:// "
                "(a private CA goes into model.caBundle) or s3://",
            ),
            rule(
                r"!self.startsWith('https://') || self.matches('^https://[^/@?#]+/[^?#]*[^/?#]$')",
                "an https:// model.uri names one file, or a manifest.json that lists files, without user, password, "
                "query or fragment: credentials go into a Secret that model.credentials.secretName names",
            ),
            rule(
                "!self.startsWith('hf://') || "
                "self.matches('^hf://([A-Za-z0-9][-A-Za-z0-9_.]*/)?[A-Za-z0-9][-A-Za-z0-9_.]*(@[^@]+)?$')",
                "an hf:// model.uri must be hf://org/repository or hf://org/repository@revision, where the revision is "
                "a branch, a tag or a commit",
            ),
            rule(
                "!self.startsWith('pvc://') || (self.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^/]+)*/?$')"
                " && !self.matches('/[.][.]?(/|$)'))",
                "a pvc:// model.uri must be pvc://claim/folder: the name of a PersistentVolumeClaim, then a path in it "
                "without '.', '..' and empty parts",
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
                "self.matches('^sha256:[0-9a-f]{64}$')",
                "model.digest must be sha256: and 64 hexadecimal digits in lower case, as status.model.digest has it",
            )
        )
    ),
]


def _url_rules(field: str, example: str) -> dict[str, Any]:
    """An address of a server, without a user in it."""
    return with_rules(
        rule(
            r"self.matches('^https?://[^\\s/][^\\s]*$')",
            f"{field} must be a URL that begins with http:// or https://, for example {example}",
        ),
        rule(
            "!self.contains('@')",
            f"{field} must not carry a user or password: put them in a Secret "
            "and name it in model.credentials.secretName",
        ),
    )


Url = Annotated[str, StringConstraints(max_length=2048)]


class Credentials(ApiModel):
    """Where the identity that may read the model is kept."""

    secret_name: ObjectName = Field(
        description="Secret in this namespace. s3://: keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "(and AWS_SESSION_TOKEN for temporary credentials); hf://: key HF_TOKEN; "
        "https://: key HTTPS_BEARER_TOKEN, or keys username and password."
    )


class CaBundle(ApiModel):
    """Certificates of authorities to trust."""

    config_map_name: ObjectName = Field(description="ConfigMap in this namespace that holds the certificates as PEM.")
    key: DataKey = Field(default="ca.crt", description="Key of the ConfigMap.")


class Proxy(ApiModel):
    """An HTTP proxy between the pods and what they fetch from."""

    url: Url | None = Field(
        default=None,
        description="Address of the proxy, such as http://proxy.example.com:3128. "
        "Unset: from the operator's settings (none).",
        json_schema_extra=with_rules(
            rule(
                r"self.matches('^https?://[^\\s/]+/?$')",
                "model.proxy.url must be a proxy's address without a path, for example http://proxy.example.com:3128",
            ),
            rule(
                "!self.contains('@')",
                "model.proxy.url must not carry a user or password: a proxy that asks for them is not supported",
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
                        "must be a host name, a domain (.example.com), an IP address, or * for all: no URL and no CIDR",
                    )
                )
            ),
        ]
    ] = Field(
        default=[],
        max_length=64,
        description="What is reached without the proxy, besides what the operator's settings say: host names, "
        "domains (.example.com, with all below), IP addresses, or * for all.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class S3(ApiModel):
    """How to reach an S3 store that is not AWS's own."""

    endpoint: Url | None = Field(
        default=None,
        description="URL of the S3 service, such as https://s3.example.com. Unset: AWS.",
        json_schema_extra=_url_rules("model.s3.endpoint", "https://s3.example.com"),
    )
    region: ShortText | None = Field(default=None, description="Region that requests are signed for. Unset: us-east-1.")
    addressing_style: Literal["path", "virtual"] | None = Field(
        default=None,
        description="path: the bucket is part of the path (most private stores); virtual: it is part of the host name. "
        "Unset: path when an endpoint is given, else virtual.",
    )
    ca_bundle: CaBundle | None = Field(
        default=None, description="Certificates to trust for the endpoint. The same as model.caBundle."
    )


class HuggingFace(ApiModel):
    """How to reach a hub that speaks Hugging Face's API."""

    endpoint: Url | None = Field(
        default=None,
        description="URL of the hub or of a mirror. Unset: https://huggingface.co.",
        json_schema_extra=_url_rules("model.hf.endpoint", "https://hub.example.com"),
    )


class Https(ApiModel):
    """What the file of an https:// model must be."""

    sha256: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="SHA-256 of the file that model.uri names, in hexadecimal. Of a manifest.json: of the manifest.",
        json_schema_extra=with_rules(
            rule("self.matches('^[0-9a-f]{64}$')", "model.https.sha256 must be 64 hexadecimal digits, in lower case")
        ),
    )


_HUB = "^https://(www[.])?(huggingface[.]co|hf[.]co)/"
"""Addresses of Hugging Face's own hub. One of its files may be named like any other server's, with a SHA-256."""

MODEL_RULES = (
    rule(
        f"!self.uri.matches('{_HUB}') || has(self.https)",
        "a model on Hugging Face's hub is written hf://org/model, or hf://org/model@revision: write that as model.uri",
        field_path=".uri",
    ),
    rule(
        f"!self.uri.startsWith('https://') || self.uri.matches('{_HUB}') || has(self.https)",
        "an https:// model needs model.https.sha256, the SHA-256 of the file that model.uri names",
        field_path=".https",
    ),
    rule(
        "!has(self.https) || self.uri.startsWith('https://')",
        "model.https belongs to a model.uri that begins with https://: remove it or change the uri",
        field_path=".https",
    ),
    rule(
        "!has(self.hf) || self.uri.startsWith('hf://')",
        "model.hf belongs to a model.uri that begins with hf://: remove it or change the uri",
        field_path=".hf",
    ),
    rule(
        "!self.uri.startsWith('pvc://') || !(has(self.credentials) || has(self.caBundle) || has(self.proxy))",
        "model.credentials, model.caBundle and model.proxy mean nothing for a pvc:// model, which is mounted and not "
        "fetched: remove them",
        field_path=".uri",
    ),
    rule(
        "!has(self.digest) || !self.uri.startsWith('pvc://')",
        "model.digest is compared with what is fetched, and a pvc:// model is mounted where it lies: remove it",
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
"""Rules of the model as a whole."""
