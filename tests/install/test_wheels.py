"""What is in the wheels."""

from __future__ import annotations

import pytest

from tests.install.wheels import CLI, CORE, FILE, PICKLE, ROOT, S3, SQL, TESTING, Wheel

PACKAGES = {
    CORE: "spark",
    FILE: "spark_backend_file",
    S3: "spark_backend_s3",
    SQL: "spark_backend_sql",
    CLI: "spark_cli",
    PICKLE: "spark_serializer_pickle",
    TESTING: "spark_testing",
}


def test_every_distribution_of_the_workspace_is_covered_here(wheels: dict[str, Wheel]) -> None:
    assert wheels.keys() == PACKAGES.keys()


@pytest.mark.parametrize(("distribution", "package"), PACKAGES.items())
def test_a_wheel_holds_its_package_and_nothing_beside_it(
    wheels: dict[str, Wheel], distribution: str, package: str
) -> None:
    """A stray top-level name would be imported in somebody's program."""
    top = {name.split("/")[0] for name in wheels[distribution].names}

    assert {name for name in top if not name.endswith(".dist-info")} == {package}


@pytest.mark.parametrize(("distribution", "package"), PACKAGES.items())
def test_type_checkers_are_told_that_a_package_is_typed(
    wheels: dict[str, Wheel], distribution: str, package: str
) -> None:
    assert f"{package}/py.typed" in wheels[distribution].names


@pytest.mark.parametrize("distribution", PACKAGES)
def test_a_wheel_carries_the_licence(wheels: dict[str, Wheel], distribution: str) -> None:
    """A copy lies beside each pyproject.toml, because a build sees nothing above it; the copies must not drift."""
    wheel = wheels[distribution]
    (licence,) = [name for name in wheel.names if name.endswith(".dist-info/licenses/LICENSE")]

    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert wheel.metadata["License-Expression"] == "Apache-2.0"


@pytest.mark.parametrize("distribution", PACKAGES)
def test_a_wheel_describes_itself(wheels: dict[str, Wheel], distribution: str) -> None:
    metadata = wheels[distribution].metadata
    description = str(metadata.get_payload())

    assert description.startswith(f"# {distribution}\n")
    assert len(description.split()) > 60
    assert "pip install 'spark-graphs[" in description
    assert metadata["Summary"]
    assert metadata["Requires-Python"] == ">=3.11"


@pytest.mark.parametrize("distribution", PACKAGES)
def test_a_description_links_to_nothing_that_is_not_where_it_is_shown(
    wheels: dict[str, Wheel], distribution: str
) -> None:
    """A package index shows the README alone, so a relative link leads nowhere."""
    description = str(wheels[distribution].metadata.get_payload())

    assert all(target.startswith("https://") for target in _links(description))


def _links(markdown: str) -> list[str]:
    return [part.split(")")[0] for part in markdown.split("](")[1:]]
