"""Where models may come from."""

from typing import Any

import pytest

from modelyard.api.inference_service import Model
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.integrations.pod_parts import PodParts, SourceParts
from modelyard.integrations.sources import SOURCES, source_of
from modelyard.integrations.sources.s3 import S3Location


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("s3://models/llama", "models", "llama"),
        ("s3://models/teams/a/llama/", "models", "teams/a/llama"),
        ("s3://models", "models", ""),
        ("s3://models/", "models", ""),
        ("s3://a.b-c.d/x y/ü", "a.b-c.d", "x y/ü"),
    ],
)
def test_an_s3_uri_is_a_bucket_and_a_prefix(uri: str, bucket: str, prefix: str) -> None:
    assert S3Location.parse(uri) == S3Location(bucket, prefix)


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("s3://", "not a valid bucket name"),
        ("s3:///llama", "not a valid bucket name"),
        ("s3://ab/llama", "not a valid bucket name"),
        ("s3://Models/llama", "not a valid bucket name"),
        ("s3://-models/llama", "not a valid bucket name"),
        ("s3://mo..dels/llama", "not a valid bucket name"),
        ("s3://10.0.0.1/llama", "not a valid bucket name"),
        ("s3://user:word@models/llama", "not a valid bucket name"),
        (f"s3://{'a' * 64}/llama", "not a valid bucket name"),
        ("s3://models/../secrets", "must not contain '.', '..'"),
        ("s3://models/a/./b", "must not contain '.', '..'"),
        ("s3://models//a", "empty segments"),
        ("s3://models/a//", "empty segments"),
        ("s3://models/a\nb", r"U\+000A, a control character"),
        (f"s3://models/{'ü' * 513}", "1024 bytes"),
    ],
)
def test_an_s3_uri_that_cannot_work_is_refused_with_what_is_wrong(uri: str, problem: str) -> None:
    with pytest.raises(InvalidError, match=problem) as refused:
        source_of(uri).parts(Model(uri=uri))
    assert refused.value.reason == "InvalidSpec"


@pytest.mark.parametrize("uri", ["gs://models/llama", "models/llama", "s3:models", "S3://models/llama"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(uri: str) -> None:
    with pytest.raises(
        InvalidError, match=r"no supported scheme\. Use one of: hf://, https://, pvc://, s3://\.$"
    ) as refused:
        source_of(uri)
    assert refused.value.reason == "UnknownSource"


def test_each_source_is_registered_under_its_scheme() -> None:
    assert {scheme: source.scheme for scheme, source in SOURCES.items()} == {scheme: scheme for scheme in SOURCES}


SHA256 = "0" * 64
EXAMPLES: dict[str, dict[str, Any]] = {
    "s3": {"uri": "s3://models/a"},
    "hf": {"uri": "hf://org/model@main"},
    "https": {"uri": "https://host/model.gguf", "https": {"sha256": SHA256}},
    "pvc": {"uri": "pvc://models/a"},
}
FETCHED = [scheme for scheme in EXAMPLES if scheme != "pvc"]


def parts_of(model: dict[str, Any]) -> SourceParts:
    return source_of(model["uri"]).parts(Model.model_validate(model))


def test_every_source_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(SOURCES)


@pytest.mark.parametrize("scheme", ["s3", "hf"])
def test_a_plain_model_needs_nothing(scheme: str) -> None:
    assert parts_of(EXAMPLES[scheme]) == SourceParts(PodParts())


def test_the_sha256_of_a_file_reaches_the_fetcher() -> None:
    assert parts_of(EXAMPLES["https"]).fetch.env == ({"name": names.ENV_HTTPS_SHA256, "value": SHA256},)


def test_a_hubs_endpoint_reaches_the_fetcher() -> None:
    parts = parts_of(EXAMPLES["hf"] | {"hf": {"endpoint": "https://hub.example.com"}})
    assert parts.fetch.env == ({"name": names.ENV_HF_ENDPOINT, "value": "https://hub.example.com"},)


@pytest.mark.parametrize("scheme", FETCHED)
def test_credentials_are_a_volume_that_may_be_missing_and_never_a_variable(scheme: str) -> None:
    parts = parts_of(EXAMPLES[scheme] | {"credentials": {"secretName": "s3-read"}}).fetch
    assert {"name": names.ENV_CREDENTIALS_SECRET, "value": "s3-read"} in parts.env
    assert parts.volumes[0]["secret"] == {"secretName": "s3-read", "optional": True, "defaultMode": 0o440}
    assert parts.mounts[0]["readOnly"] is True


@pytest.mark.parametrize("scheme", FETCHED)
def test_a_ca_bundle_is_a_config_map_that_may_be_missing(scheme: str) -> None:
    parts = parts_of(EXAMPLES[scheme] | {"caBundle": {"configMapName": "company-ca"}}).fetch
    assert {"name": names.ENV_CA_BUNDLE, "value": "/etc/modelyard/ca/ca.crt"} in parts.env
    assert parts.volumes[0]["configMap"]["optional"] is True


def test_an_s3_stores_own_ca_bundle_is_the_models() -> None:
    bundle = {"configMapName": "company-ca"}
    one = parts_of(EXAMPLES["s3"] | {"caBundle": bundle})
    assert one == parts_of(EXAMPLES["s3"] | {"s3": {"caBundle": bundle}})
    assert one == parts_of(EXAMPLES["s3"] | {"caBundle": bundle, "s3": {"caBundle": bundle}})
    with pytest.raises(InvalidError, match=r"keep spec\.model\.caBundle"):
        parts_of(EXAMPLES["s3"] | {"caBundle": bundle, "s3": {"caBundle": {"configMapName": "other"}}})


def test_a_claim_is_a_read_only_volume_and_the_engine_sees_its_folder() -> None:
    parts = parts_of({"uri": "pvc://models/teams/a/llama/"})
    claim = {"claimName": "models", "readOnly": True}
    assert parts.fetch.volumes == ({"name": "claim", "persistentVolumeClaim": claim},)
    assert parts.fetch.mounts == ({"name": "claim", "mountPath": "/claim", "readOnly": True},)
    assert parts.mount == {"name": "claim", "subPath": "teams/a/llama"}


@pytest.mark.parametrize("uri", ["pvc://my.models", "pvc://my.models/"])
def test_a_whole_claim_is_a_model_too(uri: str) -> None:
    assert parts_of({"uri": uri}).mount == {"name": "claim"}


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("pvc://", "not a valid PersistentVolumeClaim"),
        ("pvc://Models/a", "not a valid PersistentVolumeClaim"),
        ("pvc://-models/a", "not a valid PersistentVolumeClaim"),
        ("pvc://a..b/a", "not a valid PersistentVolumeClaim"),
        (f"pvc://{'a' * 254}/a", "not a valid PersistentVolumeClaim"),
        ("pvc://models/../secrets", "must not contain '.', '..'"),
        ("pvc://models/a/./b", "must not contain '.', '..'"),
        ("pvc://models//a", "empty segments"),
        ("pvc://models/a\nb", "control character"),
        ("hf://", "write hf://org/repository"),
        ("hf://a/b/c", "write hf://org/repository"),
        ("hf://a/b@", "write hf://org/repository"),
        ("hf://a/b@c@d", "write hf://org/repository"),
        ("hf://a/../b", "write hf://org/repository"),
        ("https://host", "must name a file"),
        ("https://host/folder/", "must name a file"),
        ("https://user:password@host/file", "must name a file"),
        ("https://host/file?token=x", "must name a file"),
        ("https://host/file#x", "must name a file"),
    ],
)
def test_a_uri_that_cannot_work_is_refused_with_what_is_wrong(uri: str, problem: str) -> None:
    with pytest.raises(InvalidError, match=problem) as refused:
        parts_of({"uri": uri, "https": {"sha256": SHA256}})
    assert refused.value.reason == "InvalidSpec"


@pytest.mark.parametrize("uri", ["hf://gpt2", "hf://org/model", "hf://Org-1/my_model.v2@refs/pr/1"])
def test_a_hubs_repository_may_have_an_organisation_and_a_revision(uri: str) -> None:
    assert parts_of({"uri": uri}) == SourceParts(PodParts())


def test_a_file_without_a_sha256_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"spec\.model\.https\.sha256 is missing"):
        parts_of({"uri": "https://host/file"})


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("https://huggingface.co/org/model", "hf://org/model"),
        ("https://huggingface.co/org/model/", "hf://org/model"),
        ("https://www.huggingface.co/org/model?library=vllm", "hf://org/model"),
        ("https://hf.co/org/model", "hf://org/model"),
        ("https://HuggingFace.co/org/model/tree/main", "hf://org/model"),
        ("https://huggingface.co/org/model/tree/refs%2Fpr%2F1", "hf://org/model@refs/pr/1"),
        ("https://huggingface.co/org/model/blob/v2/config.json", "hf://org/model@v2"),
        ("https://huggingface.co/org/model/resolve/main/model.gguf", "hf://org/model"),
        ("https://huggingface.co/gpt2", "hf://gpt2"),
        ("https://huggingface.co/gpt2/tree/v1", "hf://gpt2@v1"),
        ("https://huggingface.co/", "hf://org/model"),
    ],
)
def test_an_address_of_hugging_faces_hub_is_refused_with_the_uri_to_write(uri: str, named: str) -> None:
    with pytest.raises(InvalidError, match=f"Hugging Face Hub, write {named}$") as refused:
        parts_of({"uri": uri})
    assert refused.value.reason == "InvalidSpec"


def test_a_page_of_the_hub_is_no_file_even_with_a_sha256() -> None:
    with pytest.raises(InvalidError, match=r"Hugging Face Hub, write hf://org/model$"):
        parts_of({"uri": "https://huggingface.co/org/model/tree/main", "https": {"sha256": SHA256}})


@pytest.mark.parametrize(
    "uri", ["https://huggingface.co/org/model/resolve/main/a.gguf", "https://hub.example.com/org/model"]
)
def test_a_file_with_a_sha256_is_fetched_from_the_hub_as_from_any_server(uri: str) -> None:
    assert parts_of({"uri": uri, "https": {"sha256": SHA256}}).fetch.env


@pytest.mark.parametrize("scheme", ["s3", "pvc"])
def test_a_folder_may_have_any_blank_in_its_name_and_no_character_that_hides_others(scheme: str) -> None:
    parts_of({"uri": f"{scheme}://models/Bildschirm\u202f1\u00a0a"})
    for refused in ("\u202e", "\u2066", "\x85", "\x7f"):
        with pytest.raises(InvalidError, match=f"contains U\\+{ord(refused):04X}, a control character"):
            parts_of({"uri": f"{scheme}://models/a{refused}b"})
