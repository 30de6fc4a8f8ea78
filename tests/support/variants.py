"""Of several variants of one check, the first runs always, and the others with ``make test-thorough``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def first_of(variants: Sequence[Any]) -> list[Any]:
    """The variants for ``parametrize``, of which all but the first are thorough."""
    first, *others = variants
    return [first, *(_thorough(each) for each in others)]


def _thorough(variant: Any) -> Any:
    if isinstance(variant, type(pytest.param())):
        return pytest.param(*variant.values, marks=[*variant.marks, pytest.mark.thorough], id=variant.id)
    values = variant if type(variant) is tuple else (variant,)
    return pytest.param(*values, marks=pytest.mark.thorough)
