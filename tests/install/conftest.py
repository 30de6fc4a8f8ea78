"""The wheels and environments that the tests of installing share, made once."""

from __future__ import annotations

import pytest

from tests.install.once import shared_directory
from tests.install.wheels import Environment, Wheel, Workshop, find_uv


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    uv = find_uv()
    if uv is None:
        pytest.skip("no uv: not in .tools/bin (run make), not on PATH, not in $UV")
    return Workshop(uv, shared_directory(tmp_path_factory, "install"))


@pytest.fixture(scope="session")
def wheels(workshop: Workshop) -> dict[str, Wheel]:
    return workshop.build()


@pytest.fixture(scope="session")
def core_only(workshop: Workshop) -> Environment:
    return workshop.install("spark-graphs")


@pytest.fixture(scope="session")
def with_files(workshop: Workshop) -> Environment:
    return workshop.install("spark-graphs[file]")


@pytest.fixture(scope="session")
def with_sql(workshop: Workshop) -> Environment:
    return workshop.install("spark-graphs[sql]")


@pytest.fixture(scope="session")
def with_s3(workshop: Workshop) -> Environment:
    return workshop.install("spark-graphs[s3]")


@pytest.fixture(scope="session")
def with_all(workshop: Workshop) -> Environment:
    return workshop.install("spark-graphs[all]")
