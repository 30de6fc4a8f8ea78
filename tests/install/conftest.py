"""The wheels and environments that the tests of installing share, made once."""

from __future__ import annotations

import pytest

from tests.install.once import shared_directory
from tests.install.wheels import Environment, Wheel, Workshop, find_uv


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the wheels of all distributions is left to `make test-rest`, as it takes so long to build them."""
    for item in items:
        needed = getattr(item, "fixturenames", ())
        if "workshop" not in needed:
            continue
        item.add_marker(pytest.mark.timeout(600))  # the first one builds, and may download, what all others wait for
        if "core_only" not in needed:
            item.add_marker(pytest.mark.thorough)


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
    return workshop.install_core()


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
