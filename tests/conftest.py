"""What every test has: nothing that one registers reaches another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spark.graphs.checkpoint import migrations


@pytest.fixture(autouse=True)
def _own_migrations() -> Iterator[None]:
    registered = dict(migrations._MIGRATIONS)
    yield
    migrations._MIGRATIONS.clear()
    migrations._MIGRATIONS.update(registered)
