"""The pages that people read, and what each leaves to its reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.spec.page import PAGE, ROOT

PAGES = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "core/README.md", "plugins/*/README.md") for path in ROOT.glob(pattern)
)

WITHOUT_THE_SPECIFICATION = [path for path in PAGES if path != PAGE]
"""Its blocks have a folder of tests of their own."""


def name_of(page: Path) -> str:
    """How a test calls a page: its path from the root."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Matrix:
    """A class of the reader's, which says how it is saved."""

    rows: list[list[float]]


@dataclass(frozen=True)
class MyCustomType:
    """A class of the reader's, which a custom serializer saves."""

    value: int

    def to_dict(self) -> dict[str, int]:
        return {"value": self.value}

    @classmethod
    def from_dict(cls, data: dict[str, int]) -> MyCustomType:
        return cls(**data)


GIVEN: dict[str, dict[str, Any]] = {
    "docs/serialization.md": {"Matrix": Matrix, "MyCustomType": MyCustomType},
}
"""The names that a page uses and leaves to its reader, by page. Everything else it must import or define itself."""

ON_RAY = {"docs/ray-runs.md", "plugins/executor_ray/README.md"}
"""Pages whose code needs a Ray cluster: ``tests/plugins/executor_ray`` runs it on one."""
