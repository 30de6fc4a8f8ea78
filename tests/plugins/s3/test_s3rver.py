"""s3rver ignores conditions on writes: the S3 backend notices, and refuses it until it is told that it writes alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spark.errors import BackendError, SequenceTakenError
from spark_testing.records import make_record
from tests.plugins.support.s3.s3rver import running_s3rver, why_missing
from tests.plugins.support.s3.servers import S3Server
from tests.plugins.support.s3.stores import open_store

pytestmark = pytest.mark.skipif(bool(why_missing()), reason=why_missing())


@pytest.fixture(scope="module")
def s3rver() -> Iterator[S3Server]:
    with running_s3rver() as server:
        yield server


def test_it_overwrites_what_a_condition_protects(s3rver: S3Server) -> None:
    """What makes it the control: should it learn better, these tests prove nothing."""
    bucket = s3rver.new_bucket()
    s3rver.write(bucket, "key", b"first")

    s3rver.client.put_object(Bucket=bucket, Key="key", Body=b"second", IfNoneMatch="*")

    assert s3rver.read(bucket, "key") == b"second"


async def test_the_backend_refuses_it_before_a_record_is_written(s3rver: S3Server) -> None:
    bucket = s3rver.new_bucket()

    async with open_store(s3rver, bucket) as backend:
        for _ in range(2):
            with pytest.raises(BackendError, match=r"ignores If-None-Match.*single_writer=True"):
                await backend.put(make_record("g", 1))

    assert s3rver.keys(bucket) == []


async def test_a_single_writer_is_served(s3rver: S3Server) -> None:
    async with open_store(s3rver, s3rver.new_bucket(), single_writer=True) as backend:
        records = [make_record("g", sequence) for sequence in (1, 2, 3)]
        for record in records:
            await backend.put(record)
        with pytest.raises(SequenceTakenError):
            await backend.put(make_record("g", 3))
        assert await backend.delete("g", 1) is True

        assert [info.sequence for info in (await backend.list("g")).infos] == [2, 3]
        assert await backend.get("g", 3) == records[2]
        assert await backend.next_sequence("g") == 4
