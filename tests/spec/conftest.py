"""What the tests of the page's blocks share."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from tests.spec import page


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "block(heading, number=1): the block of the page that this test runs")


class PageBlock:
    """The block that a test has claimed, ready to run."""

    def __init__(self, block: page.Block, directory: Path) -> None:
        self.block = block
        self.directory = directory
        self.was_used = False
        self._results: list[dict[str, Any]] = []

    async def run(self, *, addresses: Mapping[str, str] = MappingProxyType({}), **given: Any) -> dict[str, Any]:
        """Execute the block with these stand-ins; returns every name that it knows at its end.

        :param addresses: of databases, from the page's to the test's.
        """
        self.was_used = True
        names = await self.block.run(given, directory=self.directory, addresses=addresses)
        self._results.append(names)
        return names

    def check_signature(self) -> None:
        """The class that the block imports takes what the block writes down, in that order, with those defaults."""
        self.was_used = True
        kind, written = self.block.written_signature()
        built = list(inspect.signature(kind).parameters.values())[: len(written.parameters)]
        assert [parameter.name for parameter in built] == list(written.parameters)
        for page_parameter, parameter in zip(written.parameters.values(), built, strict=True):
            if page_parameter.default is not inspect.Parameter.empty:
                assert parameter.default == page_parameter.default, parameter.name
            assert type_names(page_parameter) <= type_names(parameter), parameter.name

    def source(self) -> str:
        """The block as the text of a program of its own."""
        self.was_used = True
        return self.block.source(self.directory)

    async def close(self) -> None:
        """Release what the block opened."""
        values = [value for names in self._results for value in names.values()]
        backends = [value.checkpoint_backend for value in values if isinstance(value, Graph)]
        for backend in {*backends, *(value for value in values if isinstance(value, CheckpointBackend))}:
            if backend is not None:
                await backend.close()


def type_names(parameter: inspect.Parameter) -> set[str]:
    """The types in an annotation, by the names that they have today."""
    text = str(parameter.annotation).replace("List[", "Sequence[").replace("Optional[", "None[")
    text = text.replace("Chosen[", "str[")  # an object, or its name
    return set(re.findall(r"\w+", text)) | ({"None"} if parameter.default is None else set())


@pytest.fixture
async def block(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PageBlock]:
    """The block that ``@pytest.mark.block(heading, number)`` names, of the ``##`` heading that the test's file is for."""
    marker = request.node.get_closest_marker("block")
    section = next(each for each in page.headings() if page.file_name(each) == request.path.name)
    claimed = PageBlock(page.block(section, *marker.args), tmp_path / "checkpoints")
    yield claimed
    await claimed.close()
    assert claimed.was_used, "The test claims a block of the page, and never runs it"


@pytest.fixture
def memory() -> InMemoryCheckpointBackend:
    return InMemoryCheckpointBackend()


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
    async with FileCheckpointBackend(tmp_path / "checkpoints") as backend:
        yield backend


@pytest.fixture
def manager(memory: InMemoryCheckpointBackend) -> CheckpointManager:
    return CheckpointManager(memory)
