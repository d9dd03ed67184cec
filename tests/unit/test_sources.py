"""Where models may come from."""

import pytest

from modelyard import names
from modelyard.api.types import Model
from modelyard.errors import InvalidError
from modelyard.sources import SOURCES, source_of
from modelyard.sources.s3 import S3Location


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
        ("s3://", "cannot be a bucket"),
        ("s3:///llama", "cannot be a bucket"),
        ("s3://ab/llama", "cannot be a bucket"),
        ("s3://Models/llama", "cannot be a bucket"),
        ("s3://-models/llama", "cannot be a bucket"),
        ("s3://mo..dels/llama", "cannot be a bucket"),
        ("s3://10.0.0.1/llama", "cannot be a bucket"),
        ("s3://user:word@models/llama", "cannot be a bucket"),
        (f"s3://{'a' * 64}/llama", "cannot be a bucket"),
        ("s3://models/../secrets", "neither"),
        ("s3://models/a/./b", "neither"),
        ("s3://models//a", "two slashes"),
        ("s3://models/a//", "two slashes"),
        ("s3://models/a\nb", "control character"),
        (f"s3://models/{'ü' * 513}", "1024 bytes"),
    ],
)
def test_an_s3_uri_that_cannot_work_is_refused_with_what_is_wrong(uri: str, problem: str) -> None:
    with pytest.raises(InvalidError, match=problem) as refused:
        source_of(uri).parts(Model(uri=uri))
    assert refused.value.reason == "InvalidSpec"


@pytest.mark.parametrize("uri", ["gs://models/llama", "models/llama", "s3:models", "S3://models/llama"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(uri: str) -> None:
    with pytest.raises(InvalidError, match=r"known schemes\. Take one of: s3://\.$") as refused:
        source_of(uri)
    assert refused.value.reason == "UnknownSource"


def test_each_source_is_registered_under_its_scheme() -> None:
    assert {scheme: source.scheme for scheme, source in SOURCES.items()} == {scheme: scheme for scheme in SOURCES}


def test_a_plain_model_needs_nothing() -> None:
    parts = source_of("s3://models/a").parts(Model(uri="s3://models/a"))
    assert (parts.env, parts.volumes, parts.mounts) == ((), (), ())


def test_credentials_are_a_volume_that_may_be_missing_and_never_a_variable() -> None:
    model = Model.model_validate({"uri": "s3://models/a", "credentials": {"secretName": "s3-read"}})
    parts = source_of(model.uri).parts(model)
    assert parts.env == ({"name": names.ENV_CREDENTIALS_SECRET, "value": "s3-read"},)
    assert parts.volumes[0]["secret"] == {"secretName": "s3-read", "optional": True, "defaultMode": 0o440}
    assert parts.mounts[0]["readOnly"] is True
