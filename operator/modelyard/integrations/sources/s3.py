"""Models in S3: ``s3://bucket/path``, on AWS or on any store with its protocol."""

import re
from dataclasses import dataclass
from typing import Self

from modelyard.api.inference_service import Model
from modelyard.api.model_source import S3, CaBundle
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.integrations.pod_parts import SourceParts
from modelyard.integrations.sources import base

BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""AWS's rules for bucket names: 3 to 63 of these characters, no two dots in a row, not in the form of an IP address.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""

LONGEST_KEY_BYTES = 1024
"""S3's own limit on an object's key."""


@dataclass(frozen=True)
class S3Location:
    """A bucket and the prefix below which the model's files lie; the prefix is empty for a whole bucket."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Reads ``s3://bucket/prefix``; a slash at the end means nothing. Raises InvalidError (InvalidSpec)."""
        bucket, _, path = uri.removeprefix("s3://").partition("/")
        if not BUCKET.fullmatch(bucket):
            raise base.invalid_uri(
                uri,
                f"{bucket!r} is not a valid bucket name: use 3 to 63 lower-case letters, digits, '-' and '.', "
                "starting and ending with a letter or digit",
            )
        prefix = base.path_in(uri, path)
        if len(prefix.encode()) > LONGEST_KEY_BYTES:
            raise base.invalid_uri(uri, f"the path is longer than S3's limit of {LONGEST_KEY_BYTES} bytes")
        return cls(bucket, prefix)


class S3Source:
    """Renders ``model.s3`` and ``model.credentials`` for the fetcher, which reads them in fetcher/configuration.py."""

    scheme = "s3"

    def parts(self, model: Model) -> SourceParts:
        """See sources/base.py."""
        S3Location.parse(model.uri)
        s3 = model.s3 or S3()
        variables = base.variables(
            {
                names.ENV_S3_ENDPOINT: s3.endpoint,
                names.ENV_S3_REGION: s3.region,
                names.ENV_S3_ADDRESSING_STYLE: s3.addressing_style,
            }
        )
        return SourceParts(variables + base.credentials(model) + base.ca_bundle(_one_of(s3.ca_bundle, model.ca_bundle)))


def _one_of(of_s3: CaBundle | None, of_model: CaBundle | None) -> CaBundle | None:
    """One setting under two names."""
    if of_s3 and of_model and of_s3 != of_model:
        raise InvalidError(
            "InvalidSpec",
            "spec.model.caBundle and spec.model.s3.caBundle are the same setting and differ: keep spec.model.caBundle.",
        )
    return of_s3 or of_model
