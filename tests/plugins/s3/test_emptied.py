"""Graphs that are long without records are forgotten on request, whatever others do meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from spark_testing.records import make_record
from tests.plugins.support.s3.servers import S3Server
from tests.plugins.support.s3.stores import AT_ONCE, open_store, trusting, watch


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.new_bucket()


async def test_graphs_without_records_are_forgotten_in_one_request(s3_server: S3Server, bucket: str) -> None:
    trust = trusting(grace=AT_ONCE)
    async with open_store(s3_server, bucket, trust=trust) as backend:
        for graph_id in ("c/1", "c/2", "c/left", "d"):
            await backend.put(make_record(graph_id, 1))
        for graph_id in ("c/1", "c/2", "d"):
            await backend.delete(graph_id, 1)
        s3_server.write(bucket, "runs/graphs/c!2F3/notes.txt", b"somebody else's")
        gate = watch(backend)

        assert await backend.forget_empty("c/", older_than=timedelta(seconds=-10)) == 2

        assert gate.requests == ["list_objects_v2", "delete_objects"]
        assert {key.split("/")[2] for key in s3_server.keys(bucket, "runs/graphs/")} == {"c!2F3", "c!2Fleft", "d"}


async def test_who_uses_a_graph_again_while_it_is_forgotten_keeps_its_record(s3_server: S3Server, bucket: str) -> None:
    trust = trusting(grace=AT_ONCE)
    async with (
        open_store(s3_server, bucket, trust=trust) as one,
        open_store(s3_server, bucket, trust=trust) as other,
    ):
        await one.put(make_record("g", 1))
        await one.delete("g", 1)
        gate = watch(one, stop_before=1)
        forgetting = asyncio.create_task(one.forget_empty("g", older_than=timedelta(seconds=-10)))
        await gate.is_stopped.wait()
        await other.put(make_record("g", 2))
        gate.may_go_on.set()

        assert await forgetting == 1
        assert [info.sequence for info in (await one.list("g")).infos] == [2]
        assert await one.next_sequence("g") == 3
