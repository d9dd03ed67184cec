"""What the benchmarks' static server answers to a listing, read as boto3 reads it."""

from pathlib import Path

from botocore.parsers import create_parser
from botocore.session import get_session

from bench.fetch.model import large_model
from bench.fetch.nginx import listing


def test_the_listing_is_one_that_boto3_reads(tmp_path: Path) -> None:
    model = large_model(tmp_path, 4096)
    operation = get_session().get_service_model("s3").operation_model("ListObjectsV2")
    answer = {"status_code": 200, "headers": {}, "body": listing("models", model).encode()}
    read = create_parser("rest-xml").parse(answer, operation.output_shape)
    assert {item["Key"]: item["Size"] for item in read["Contents"]} == {
        f"model/{file.name}": (model.folder / file.name).stat().st_size for file in model.files
    }
    assert len(read["Contents"]) == read["KeyCount"] == 7
    keys = [item["Key"] for item in read["Contents"]]
    assert keys == sorted(keys)
    assert read["Contents"][-1]["ETag"].endswith(f'-{4096 // 4:x}"')
    assert not read["IsTruncated"]
