"""The S3 server of the tests keeps the promises of S3 that the backend builds on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.plugins.support.s3.servers import S3Server


def test_a_conditional_write_has_one_winner(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()

    def write(number: int) -> int:
        try:
            s3_server.client.put_object(Bucket=bucket, Key="key", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return number

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(write, range(8)))

    assert outcomes.count(412) == 7
    assert s3_server.read(bucket, "key") == b"%d" % min(outcomes)


def test_an_object_that_is_missing_is_an_error(s3_server: S3Server) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3_server.read(s3_server.new_bucket(), "nothing")
