"""The wheels and environments that the tests of installing share, made once."""

from __future__ import annotations

import pytest

from tests.install.wheels import Environment, Wheel, Workshop, find_uv


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    uv = find_uv()
    if uv is None:
        pytest.skip("no uv: not in .tools/bin (run make), not on PATH, not in $UV")
    return Workshop(uv, tmp_path_factory.mktemp("install"))


@pytest.fixture(scope="session")
def wheels(workshop: Workshop) -> dict[str, Wheel]:
    return workshop.build()


@pytest.fixture(scope="session")
def core_only(workshop: Workshop, wheels: dict[str, Wheel]) -> Environment:
    return workshop.install("core", extras="", wheels=wheels)


@pytest.fixture(scope="session")
def with_files(workshop: Workshop, wheels: dict[str, Wheel]) -> Environment:
    return workshop.install("files", extras="[file]", wheels=wheels)


@pytest.fixture(scope="session")
def with_sql(workshop: Workshop, wheels: dict[str, Wheel]) -> Environment:
    return workshop.install("sql", extras="[sql]", wheels=wheels)


@pytest.fixture(scope="session")
def with_s3(workshop: Workshop, wheels: dict[str, Wheel]) -> Environment:
    return workshop.install("s3", extras="[s3]", wheels=wheels)


@pytest.fixture(scope="session")
def with_all(workshop: Workshop, wheels: dict[str, Wheel]) -> Environment:
    return workshop.install("all", extras="[all]", wheels=wheels)
