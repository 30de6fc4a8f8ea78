"""Whatever a connection string says is used, or refused with what to write instead."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from spark.graphs.checkpoint import open_backend
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.sql_servers import PostgresServer, new_table


async def test_options_of_the_backend_may_stand_in_the_url(postgres: PostgresServer) -> None:
    table = new_table()
    async with open_backend(f"{postgres.url}&wait=7&readers=2&table_name={table}&application_name=ours") as backend:
        assert isinstance(backend, DatabaseCheckpointBackend)
        await backend.put(make_record("g", 1))
        await asyncio.gather(*(backend.list() for _ in range(20)))

        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ours'"
        assert (backend.database.wait, backend.table_name) == (7.0, table)
        assert 2 <= postgres.run(count)[0][0] <= 3  # one writes, two read


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("wait=soon", "wait of the URL is 'soon', which is not a number"),
        ("readers=1.5", "readers of the URL is '1.5', which is not a number"),
        ("readers=0", "can't have 0 readers: give 1 to 64"),
        ("wait=5&wait=6", "wait is in the URL twice"),
        ("pool_size=5", "pool_size, which the sql backend does not use"),
        ("pool_pre_ping=true", "pool_pre_ping, which the sql backend does not use"),
        ("sslmod=require", "sslmod, which its driver does not take. Is it misspelt?"),
        ("autocommit=true", "autocommit, which its driver does not take"),
        ("prepare_threshold=many", "prepare_threshold of the URL is 'many'"),
    ],
)
def test_what_nobody_would_use_is_refused(query: str, says: str) -> None:
    with pytest.raises(ValueError) as raised:
        open_backend(f"postgresql://user:secret@localhost/runs?{query}")

    assert says in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://u@h/d?charset=latin1", "can't use charset=latin1"),
        ("mariadb://u@h/d?sql_mode=ANSI", "sql_mode, which its driver does not take"),
        ("mariadb://u@h/d?ssl_moed=1", "ssl_moed, which its driver does not take"),
        ("mariadb+mariadbconnector://u@h/d", "names the driver mariadbconnector, which the sql backend does not use"),
        ("postgresql+pg8000://u@h/d", "names the driver pg8000, which the sql backend does not use"),
        ("sqlite:///runs.db?mode=ro", "need uri=true: sqlite:///file:runs.db?mode=ro&uri=true"),
    ],
)
def test_of_other_databases_too(url: str, says: str) -> None:
    with pytest.raises(ValueError) as raised:
        open_backend(url)

    assert says in str(raised.value)


def test_an_option_of_the_backend_is_an_argument_where_there_are_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give it as an argument, DatabaseCheckpointBackend\(url, wait=…\)"):
        DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/runs.db?wait=3")


@pytest.mark.parametrize("readers", [0, 65, True, "4"])
def test_a_number_of_readers_that_is_none_is_refused(tmp_path: Path, readers: Any) -> None:
    with pytest.raises(ValueError, match="readers: give 1 to 64"):
        DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/runs.db", readers=readers)


async def test_a_driver_is_told_what_the_url_says(postgres: PostgresServer) -> None:
    async with DatabaseCheckpointBackend(f"{postgres.url}&prepare_threshold=0", new_table()) as backend:
        await backend.put(make_record("g", 1))

        assert backend.database.writer.open().prepare_threshold == 0


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("postgresql://u:p%40@one:5432,two:5433/d", "5432,5433"),
        ("postgresql://one:5432,two:5433/d?sslmode=require", "5432,5433"),
        ("postgresql://u@/d?host=one:5432&host=two:5433", "5432,5433"),
        ("postgresql://u@one,two/d", ","),
    ],
)
def test_several_hosts_are_written_as_for_libpq_or_as_for_sqlalchemy(url: str, ports: str) -> None:
    backend = DatabaseCheckpointBackend(url)

    _, arguments = backend.database.writing.dialect.create_connect_args(backend.database.url)

    assert (arguments["host"], arguments.get("port", ",")) == ("one,two", ports)
