"""Downloads a folder of a bucket as most Python programs do: download_file for each object.

Arguments: endpoint, bucket, prefix, target folder. Keys and trust by boto3's own environment variables.
"""

import sys
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config


def main(endpoint: str, bucket: str, prefix: str, target: str) -> None:
    client = boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))
    classic = TransferConfig(preferred_transfer_client="classic")  # the other one knows no endpoint but AWS's
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for item in page["Contents"]:
            path = Path(target) / item["Key"].removeprefix(f"{prefix}/")
            client.download_file(bucket, item["Key"], str(path), Config=classic)


main(*sys.argv[1:])
