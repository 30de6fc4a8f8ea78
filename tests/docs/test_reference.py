"""The reference lists every public name, once, and nothing that is not there."""

from __future__ import annotations

import re
from collections import Counter
from importlib import import_module

import pytest

from spark.hooks import specs
from tests.spec.page import ROOT

REFERENCE = ROOT / "docs" / "reference"

WHOLE_MODULES = {"spark.errors"}
"""Shown with all that they have."""

MODULES = [
    "spark.graphs",
    "spark.graphs.events",
    "spark.graphs.executors",
    "spark.graphs.checkpoint",
    "spark.graphs.checkpoint.storage",
    "spark.hooks",
    "spark_backend_file",
    "spark_backend_s3",
    "spark_backend_sql",
    "spark_drawing",
    "spark_executor_process",
    "spark_executor_ray",
    "spark_executor_ray.ray_runs",
    "spark_format_msgpack",
    "spark_format_pickle",
    "spark_observer_otel",
    "spark_testing",
    "spark_types_arrays",
    "spark_ui",
]


def listed() -> Counter[str]:
    pages = [page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md")]
    return Counter(name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE))


def public(module: str) -> set[str]:
    """What a module exports, without the errors, which have a page of their own, and what users import from elsewhere."""
    elsewhere = set(import_module("spark.errors").__all__)
    if module == "spark.graphs.checkpoint.storage":
        elsewhere |= set(import_module("spark.graphs.checkpoint").__all__)
    return {f"{module}.{name}" for name in import_module(module).__all__ if name not in elsewhere}


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_of_a_module_is_in_the_reference(module: str) -> None:
    assert public(module) - set(listed()) == set()


def test_the_reference_lists_nothing_else_and_nothing_twice() -> None:
    hooks = {f"{specs.__name__}.{name}" for name in [*specs.PROVIDING, *specs.EVENTS]}

    assert set(listed()) == hooks | WHOLE_MODULES | {name for module in MODULES for name in public(module)}
    assert [name for name, times in listed().items() if times > 1] == []
