"""What goes wrong with S3 is told in words that help, and never with a secret in them."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Callable
from copy import deepcopy

import pytest

from spark.errors import BackendError, DeletionError, SequenceTakenError, StoreNotFoundError
from spark.graphs.checkpoint import open_backend
from spark_backend_s3 import S3CheckpointBackend, Trust
from spark_testing.records import NOON, make_record
from tests.plugins.support.s3.faults import (
    CONFLICT,
    HANG,
    INTERNAL_ERROR,
    LOST_ANSWER,
    PASS,
    RESET,
    Fault,
    FaultyProxy,
    in_order,
    refusal,
)
from tests.plugins.support.s3.servers import S3Server
from tests.plugins.support.s3.stores import give_up_soon, open_store, set_attempts, set_timeout, watch
from tests.support.servers import silent_port
from tests.support.variants import first_of

SECRET = "sEcReT/with+signs="
OpenWith = Callable[..., S3CheckpointBackend]


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    return s3_server.new_bucket()


@pytest.fixture
async def proxy(s3_server: S3Server) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(s3_server.endpoint_url, lambda _: PASS).listening() as proxy:
        yield proxy


@pytest.fixture
async def backend(
    s3_server: S3Server, bucket: str, proxy: FaultyProxy, request: pytest.FixtureRequest
) -> AsyncIterator[S3CheckpointBackend]:
    """A backend that has found its store, with the proxy in between."""
    async with open_store(
        s3_server, bucket, f"errors {abs(hash(request.node.name))}", endpoint_url=proxy.endpoint_url
    ) as backend:
        await backend.put(make_record("g", 1))
        set_timeout(backend, 6)
        proxy.take_counts()
        yield backend


# where a store is


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b%20c/", "s3://bucket/a/b c"),
        ("s3://My.Bucket/x?region=eu-west-1&profile=prod&single_writer=true&timeout=5", "s3://My.Bucket/x"),
        ("s3://bucket/x?endpoint_url=http://127.0.0.1:9000", "s3://bucket/x at http://127.0.0.1:9000"),
    ],
)
def test_a_url_names_a_store(url: str, shown: str) -> None:
    assert repr(open_backend(url)) == f"S3CheckpointBackend({shown!r})"


def test_options_beside_a_url_win() -> None:
    backend = S3CheckpointBackend.from_url("s3://bucket/x?region=a", region="b", format="json")

    assert backend._location.region == "b"


@pytest.mark.parametrize(
    "url",
    [
        "s3:///prefix",
        "s3:bucket",
        "file:///bucket",
        "s3://bucket#x",
        "s3://bucket?secret=x",
        "s3://bucket?versionId=1",
        "s3://bucket?single_writer=maybe",
        "s3://bucket?timeout=soon",
        "s3://bucket?timeout=0",
        "s3://bucket:9000/x",
        "s3://bucket/" + "x" * 501,
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        S3CheckpointBackend.from_url(url)


@pytest.mark.parametrize(
    "options",
    [
        {"bucket": ""},
        {"bucket": "a/b"},
        {"bucket": "b", "key": "k"},
        {"bucket": "b", "secret": "s"},
        {"bucket": "b", "token": "t"},
        {"bucket": "b", "key": "k", "secret": "s", "profile": "p"},
        {"bucket": "b", "endpoint_url": "http://user:password@host"},
        {"bucket": "b", "endpoint_url": "127.0.0.1:9000"},
    ],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="s3 backend"):
        S3CheckpointBackend(**options)


# secrets


def test_secrets_are_in_no_repr_and_no_pickle() -> None:
    backend = S3CheckpointBackend("b", key="AKIA", secret=SECRET, token=SECRET)

    assert SECRET not in repr(backend) + str(backend) + repr(backend._location)
    for copy in (pickle.dumps, deepcopy):
        with pytest.raises(TypeError, match="can't be pickled") as raised:
            copy(backend)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIA:{SECRET}@bucket/x",
        f"s3://AKIA:{SECRET}@bucket/x?nonsense=1",
        "s3://AKIA:sEcReT%2Fwith%2Bsigns%3D@bucket/x?nonsense=1",
        "s3://AKIA:sEcReT%2Fwith%2Bsigns%3D@bucket/x#y",
        f"s3://bucket/x?secret={SECRET}",
        f"s3://bucket/x?endpoint_url=http://user:{SECRET}@host",
    ],
)
def test_a_url_that_is_refused_does_not_show_its_password(url: str) -> None:
    with pytest.raises(ValueError) as raised:
        S3CheckpointBackend.from_url(url)

    assert "sEcReT" not in "".join(traceback.format_exception(raised.value))


def test_a_password_in_a_url_is_taken_and_not_shown() -> None:
    backend = S3CheckpointBackend.from_url("s3://AKIA:sEcReT%2Fwith%2Bsigns%3D@bucket/x")

    assert backend._location.secret == SECRET
    assert "sEcReT" not in repr(backend)


async def test_secrets_are_in_no_log_and_no_traceback(
    s3_server: S3Server, bucket: str, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="spark")
    async with open_store(
        s3_server, bucket, "x", endpoint_url=proxy.endpoint_url, secret=SECRET, token=SECRET
    ) as backend:
        proxy.schedule = lambda _: refusal(403, "SignatureDoesNotMatch")
        with pytest.raises(BackendError) as raised:
            await backend.list()

    assert "sEcReT" not in caplog.text + "".join(traceback.format_exception(raised.value))


# what can be wrong with it


@pytest.mark.parametrize(
    ("fault", "advice"),
    first_of(
        [
            (refusal(403, "AccessDenied"), "s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject"),
            (refusal(400, "ExpiredToken"), "have expired"),
            (refusal(403, "RequestTimeTooSkewed"), "The clock of this machine"),
            (refusal(301, "PermanentRedirect"), "region="),
            (refusal(501, "NotImplemented"), "does not check conditional writes"),
            (refusal(418, "Teapot"), "the store answered 418 Teapot"),
            (refusal(403, "InvalidAccessKeyId"), "Check the access key and the secret"),
            (refusal(403, "SignatureDoesNotMatch"), "Check the access key and the secret"),
            (refusal(400, "InvalidToken"), "Check the access key and the secret"),
            (refusal(400, "AuthorizationHeaderMalformed"), "region="),
        ],
        always=6,
    ),
)
async def test_a_refusal_is_told_with_what_to_do_and_not_tried_again(
    backend: S3CheckpointBackend, proxy: FaultyProxy, bucket: str, fault: Fault, advice: str
) -> None:
    proxy.schedule = lambda kind: fault if kind in ("PUT", "GET", "LIST", "DELETE MANY") else PASS
    uses = {
        "save checkpoint 2 of graph 'g'": lambda: backend.put(make_record("g", 2)),
        "read checkpoint 1 of graph 'g'": lambda: backend.get("g", 1),
        "list the checkpoints of graph 'g'": lambda: backend.list("g"),
        "delete checkpoint 1 of graph 'g'": lambda: backend.delete("g", 1),
    }

    for action, use in uses.items():
        with pytest.raises(BackendError) as raised:
            await use()
        assert f"could not {action} in s3://{bucket}/errors " in str(raised.value)
        assert advice in str(raised.value)
        assert raised.value.__cause__ is not None

    counts = proxy.take_counts()
    # When told of another region, the client looks where that is, and asks once more.
    times = 2 if advice == "region=" else 1
    assert len(uses) <= counts["PUT"] + counts["GET"] + counts["LIST"] <= len(uses) * times


async def test_a_bucket_that_is_missing_is_named(s3_server: S3Server) -> None:
    async with open_store(s3_server, "no-such-bucket-of-ours") as backend:
        for use in (backend.put(make_record()), backend.get("g", 1), backend.latest("g"), backend.delete("g", 1)):
            with pytest.raises(
                StoreNotFoundError, match=r"no-such-bucket-of-ours.*there is no such bucket.*create the bucket"
            ):
                await use


async def test_a_name_that_no_bucket_can_have_is_an_error_that_says_so(s3_server: S3Server) -> None:
    async with open_store(s3_server, "no bucket") as backend:
        with pytest.raises(BackendError, match=r"Invalid bucket name.*Correct the name of the bucket"):
            await backend.list()


async def test_an_endpoint_where_nobody_listens_is_named_soon(s3_server: S3Server) -> None:
    with silent_port() as port:
        endpoint_url = f"http://127.0.0.1:{port}"
        async with open_store(s3_server, "b", endpoint_url=endpoint_url, timeout=8) as backend:
            with pytest.raises(BackendError, match="Check endpoint_url") as raised:
                await backend.list()

    assert endpoint_url in str(raised.value)


async def test_without_credentials_the_error_says_where_they_come_from(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nothing = str(tmp_path_factory.mktemp("home") / "none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", nothing)
    monkeypatch.setenv("AWS_CONFIG_FILE", nothing)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    async with S3CheckpointBackend("b", endpoint_url=s3_server.endpoint_url, region="us-east-1") as backend:
        with pytest.raises(BackendError, match="environment, profile, role"):
            await backend.list()
    async with S3CheckpointBackend("b", endpoint_url=s3_server.endpoint_url, profile="absent") as backend:
        with pytest.raises(BackendError, match="Add this profile"):
            await backend.list()


async def test_credentials_come_from_the_environment(
    s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    async with open_backend(s3_server.url(bucket, "from environment")) as backend:
        await backend.put(make_record())

        assert len((await backend.list()).infos) == 1


async def test_a_record_too_large_for_one_put_is_refused_before_anything_is_written(
    backend: S3CheckpointBackend, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_backend_s3.writer.LARGEST", 1000)

    with pytest.raises(BackendError, match="S3 takes 1,000 in one PUT"):
        await backend.put(make_record("g", 2, payload=b"x" * 1000))

    assert not proxy.take_counts()


async def test_a_large_record_is_one_put(backend: S3CheckpointBackend) -> None:
    """Some stores check no condition on an upload in parts."""
    gate = watch(backend)
    record = make_record("g", 2, payload=bytes(20_000_000))

    await backend.put(record)

    # Where that takes long, the history is looked at once more.
    assert [request for request in gate.requests if request != "list_objects_v2"] == ["put_object"]
    assert await backend.get("g", 2) == record


@pytest.mark.parametrize("sequence", first_of([10**12, 0, -1]))
async def test_sequences_that_have_no_key_are_refused(backend: S3CheckpointBackend, sequence: int) -> None:
    with pytest.raises(BackendError, match="sequences go from 1 to 999,999,999,999"):
        await backend.put(make_record("g", sequence, timestamp=NOON))
    assert await backend.get("g", sequence) is None
    assert await backend.delete("g", sequence) is False


async def test_the_last_sequence_there_can_be_sorts_like_the_others(backend: S3CheckpointBackend) -> None:
    await backend.put(make_record("g", 10**12 - 1, timestamp=NOON))

    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 10**12 - 1]
    latest = await backend.latest("g")
    assert latest is not None
    assert latest.sequence == 10**12 - 1


# what passes


@pytest.mark.parametrize("fault", first_of([refusal(503, "SlowDown"), RESET, INTERNAL_ERROR, CONFLICT], always=2))
async def test_what_passes_is_tried_again(backend: S3CheckpointBackend, proxy: FaultyProxy, fault: Fault) -> None:
    for kind in ("PUT", "LIST", "GET"):
        proxy.schedule = in_order(fault, fault, only=kind)
        sequence = await backend.next_sequence("g")
        await backend.put(make_record("g", sequence))
        assert (await backend.get("g", sequence)) is not None
        assert proxy.take_counts()[kind] >= 3


async def test_an_answer_that_was_lost_is_no_conflict(backend: S3CheckpointBackend, proxy: FaultyProxy) -> None:
    record = make_record("g", 2)
    proxy.schedule = in_order(LOST_ANSWER, only="PUT")

    await backend.put(record)

    assert proxy.take_counts() == {"PUT": 2, "GET": 1}
    assert await backend.get("g", 2) == record
    with pytest.raises(SequenceTakenError):
        await backend.put(record)


async def test_a_deletion_whose_answer_was_lost_is_told(backend: S3CheckpointBackend, proxy: FaultyProxy) -> None:
    proxy.schedule = in_order(LOST_ANSWER, only="PUT")

    assert await backend.delete("g", 1) is True
    assert (await backend.list("g")).infos == []


async def test_a_deletion_that_is_refused_without_reason_is_no_silence(
    backend: S3CheckpointBackend, proxy: FaultyProxy
) -> None:
    """A store that says that the record has changed, when it has not, would otherwise keep it for ever."""
    proxy.schedule = lambda kind: refusal(412, "PreconditionFailed") if kind == "PUT" else PASS

    with pytest.raises(BackendError, match=r"delete checkpoint 1 of graph 'g'.*its etag"):
        await backend.delete("g", 1)

    assert await backend.get("g", 1) is not None


async def test_what_does_not_pass_in_time_is_an_error(s3_server: S3Server, bucket: str, proxy: FaultyProxy) -> None:
    async with open_store(s3_server, bucket, "late", endpoint_url=proxy.endpoint_url) as backend:
        await backend.list()
        set_attempts(backend, 3)
        proxy.schedule = lambda _: INTERNAL_ERROR
        proxy.take_counts()
        with pytest.raises(BackendError, match="the store answered 500 InternalError"):
            await backend.get("g", 1)

    assert proxy.take_counts()["GET"] == 3


async def test_a_hanging_store_is_an_error_in_time(s3_server: S3Server, bucket: str, proxy: FaultyProxy) -> None:
    async with open_store(s3_server, bucket, "hangs", endpoint_url=proxy.endpoint_url) as backend:
        await backend.list()  # connected, before the short time begins
        set_timeout(backend, 1.5)
        proxy.schedule = lambda _: Fault("never", "hang")
        with pytest.raises(BackendError, match=r"did not answer in time|ReadTimeout"):
            await backend.get("g", 1)


@pytest.mark.thorough
async def test_a_large_answer_gets_more_time(backend: S3CheckpointBackend, proxy: FaultyProxy) -> None:
    """What could be saved slowly can be loaded slowly; the bound is for answers that don't come."""
    record = make_record("g", 2, payload=bytes(2**22))
    await backend.put(record)
    set_timeout(backend, 6)  # two for each attempt
    proxy.schedule = lambda _: Fault("at once", "trickle", pause=0.35)

    assert await backend.get("g", 2) == record
    assert proxy.take_counts()["GET"] == 1


async def test_an_earlier_error_is_not_taken_for_the_present_one(
    s3_server: S3Server, bucket: str, proxy: FaultyProxy
) -> None:
    """Whoever comes back while handling an error has it as the context of all that fails after it."""
    async with open_store(s3_server, bucket, "twice", endpoint_url=proxy.endpoint_url) as backend:
        await backend.list()
        set_attempts(backend, 2)
        give_up_soon(backend, "get_object", only=1)
        proxy.take_counts()
        proxy.schedule = in_order(refusal(403, "AccessDenied"), HANG)
        try:
            await backend.get("g", 1)
        except BackendError:
            assert await backend.get("g", 1) is None

    assert proxy.take_counts() == {"GET": 3}


async def test_of_a_deletion_that_fails_part_way_it_is_told_what_is_gone(
    backend: S3CheckpointBackend, proxy: FaultyProxy
) -> None:
    for sequence in (2, 3, 4):
        await backend.put(make_record("g", sequence))
    proxy.schedule = in_order(PASS, refusal(403, "AccessDenied"), only="PUT")

    with pytest.raises(DeletionError, match="delete 3 checkpoints of graph 'g'") as raised:
        await backend.delete_many("g", [1, 2, 3])

    left = {info.sequence for info in (await backend.list("g")).infos}
    assert {1, 2, 3} - left == set(raised.value.deleted)
    assert len(raised.value.deleted) == 2


async def test_a_cancelled_save_is_not_sent_again(backend: S3CheckpointBackend, proxy: FaultyProxy) -> None:
    asked = asyncio.Event()

    def refuse(kind: str) -> Fault:
        asked.set()
        return INTERNAL_ERROR

    proxy.schedule = refuse
    saving = asyncio.create_task(backend.put(make_record("g", 2)))
    await asked.wait()
    saving.cancel()
    await asyncio.gather(saving, return_exceptions=True)

    assert saving.cancelled()
    assert proxy.take_counts() == {"PUT": 1}


# a store that does not keep the promise


async def test_a_store_that_ignores_conditions_is_refused_before_anything_is_saved(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The condition is taken out of our requests, as if the store had not read it."""
    bucket = s3_server.new_bucket()
    async with open_store(s3_server, bucket) as backend:
        backend._objects._has_conditions = False
        for _ in range(2):
            with pytest.raises(BackendError, match=r"ignores If-None-Match.*single_writer=True"):
                await backend.put(make_record())
        assert s3_server.keys(bucket) == []
        assert (await backend.list()).infos == []
    async with open_store(s3_server, bucket, single_writer=True) as backend:
        await backend.put(make_record())
        with pytest.raises(SequenceTakenError):
            await backend.put(make_record())
        assert await backend.delete("g", 1) is True
        with pytest.raises(SequenceTakenError):
            await backend.put(make_record())


async def test_a_store_is_tried_out_once(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    counts = []
    for prefix in ("a", "b"):
        async with open_store(s3_server, bucket, prefix) as backend:
            gate = watch(backend)
            await backend.put(make_record())
            counts.append(len(gate.requests))

    assert counts == [5, 2]
    assert [key for key in s3_server.keys(bucket) if "probe" in key] == []


async def test_what_was_left_of_trying_a_store_out_is_a_leftover_after_a_day(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    for place in ("runs/probe/left", "other/probe/left", "runs/graphs/g/x"):
        s3_server.write(bucket, place, b"a probe")
    async with open_store(s3_server, bucket) as backend:
        assert await backend.leftovers(remove=True) == [], "somebody may be trying the store out at this moment"
    async with open_store(s3_server, bucket, trust=Trust(probe_age=-10.0)) as backend:
        assert await backend.leftovers() == ["probe/left"]
        assert await backend.leftovers(remove=True) == ["probe/left"]
        assert await backend.leftovers() == []

    assert sorted(s3_server.keys(bucket)) == ["other/probe/left", "runs/graphs/g/x"]
