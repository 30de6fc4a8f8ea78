"""The proxy does to requests what its schedule says: seen by a plain client, and by the server behind it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientPayloadError
from botocore.exceptions import BotoCoreError, ClientError

from tests.plugins.support.s3 import faults
from tests.plugins.support.s3.faults import AtRandom, Fault, FaultyProxy, in_order
from tests.plugins.support.s3.servers import S3Server
from tests.support.variants import first_of

SESSION = get_session()
"""Of all clients: what it has read of S3 takes as long as many requests."""


@asynccontextmanager
async def proxied(
    server: S3Server, *schedule: Fault, patience: float | None = None
) -> AsyncIterator[tuple[FaultyProxy, Any]]:
    """A proxy, and a client that speaks through it and never retries.

    :param patience: seconds in which the client needs an answer; by default one where none comes.
    """
    patience = patience or (1 if any(fault.ends == "hang" for fault in schedule) else 30)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultyProxy(server.endpoint_url, in_order(*schedule)).listening())
        client = SESSION.create_client(
            "s3",
            endpoint_url=proxy.endpoint_url,
            aws_access_key_id=server.key,
            aws_secret_access_key=server.secret,
            region_name=server.region,
            config=AioConfig(retries={"total_max_attempts": 1}, read_timeout=patience),
        )
        yield proxy, await stack.enter_async_context(client)


@pytest.mark.parametrize(
    ("fault", "is_there"),
    first_of(
        [
            (faults.CONFLICT, False),
            (faults.LOST_ANSWER, True),
            (faults.INTERNAL_ERROR, False),
            (faults.SLOW_DOWN, False),
            (faults.RESET, False),
            (faults.ERROR_AFTERWARDS, True),
            (faults.HANG, False),
            (faults.HANG_AFTERWARDS, True),
        ],
        always=2,
    ),
)
async def test_a_fault_of_a_write_shows_to_the_client_and_leaves_what_it_says(
    s3_server: S3Server, fault: Fault, is_there: bool
) -> None:
    bucket = s3_server.new_bucket()

    # Twice, as aiohttp itself tries a second time after a connection was reset.
    async with proxied(s3_server, fault, fault) as (_, client):
        with pytest.raises((ClientError, BotoCoreError)):
            await client.put_object(Bucket=bucket, Key="key", Body=b"content", IfNoneMatch="*")

    assert s3_server.keys(bucket) == (["key"] if is_there else [])


async def test_a_late_write_is_overtaken_by_others(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    late = replace(faults.LATE, behind=2)

    async with proxied(s3_server, late, patience=30) as (proxy, client):
        saving = asyncio.ensure_future(client.put_object(Bucket=bucket, Key="key", Body=b"late"))
        while not proxy.requests:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait([saving])
        await client.put_object(Bucket=bucket, Key="key", Body=b"in time")
        before = s3_server.read(bucket, "key")
        await client.put_object(Bucket=bucket, Key="other", Body=b"")

    assert (before, s3_server.read(bucket, "key")) == (b"in time", b"late")


async def test_a_late_write_arrives_in_the_end(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    late = replace(faults.LATE, behind=100)

    async with proxied(s3_server, late) as (_, client):
        with pytest.raises(BotoCoreError):
            await client.put_object(Bucket=bucket, Key="key", Body=b"late")
        before = s3_server.keys(bucket)

    assert (before, s3_server.keys(bucket)) == ([], ["key"])


async def test_a_truncated_answer_is_noticed_by_the_client(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    s3_server.write(bucket, "key", b"x" * 1000)

    async with proxied(s3_server, faults.TRUNCATED) as (_, client):
        answer = await client.get_object(Bucket=bucket, Key="key")
        async with answer["Body"] as body:
            with pytest.raises(ClientPayloadError):
                await body.read()


async def test_a_trickling_answer_is_whole(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    s3_server.write(bucket, "key", b"x" * 1000)

    async with proxied(s3_server, faults.TRICKLE) as (_, client):
        answer = await client.get_object(Bucket=bucket, Key="key")
        async with answer["Body"] as body:
            content = await body.read()

    assert content == b"x" * 1000


async def test_requests_are_counted_by_their_kind(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()

    async with proxied(s3_server) as (proxy, client):
        await client.put_object(Bucket=bucket, Key="a/key", Body=b"")
        await client.head_object(Bucket=bucket, Key="a/key")
        async with (await client.get_object(Bucket=bucket, Key="a/key"))["Body"] as body:
            await body.read()
        await client.list_objects_v2(Bucket=bucket, Prefix="a/")
        await client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a/key"}]})
        await client.delete_object(Bucket=bucket, Key="a/key")

        assert proxy.take_counts() == {"PUT": 1, "HEAD": 1, "GET": 1, "LIST": 1, "DELETE MANY": 1, "DELETE": 1}
        assert not proxy.take_counts()


def test_a_seed_decides_every_fault() -> None:
    kinds = ("PUT", "GET", "LIST", "DELETE MANY") * 50

    first, second, other = (
        [decide(kind) for kind in kinds] for decide in (AtRandom(random.Random(seed), rate=0.5) for seed in (7, 7, 8))
    )

    assert first == second != other
    assert faults.PASS in first
