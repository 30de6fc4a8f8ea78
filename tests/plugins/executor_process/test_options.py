"""Options of worker processes."""

from __future__ import annotations

from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark_executor_process import ProcessExecutor


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"workers": 0}, "workers=0"),
        ({"workers": True}, "whole number of at least 1"),
        ({"recycle_after": 0}, "recycle_after=0"),
        ({"memory_limit": "much"}, "such as '500MB' or '2GiB'"),
        ({"memory_limit": -1}, "memory_limit=-1"),
        ({"keep_warm": -1}, "number of seconds"),
        ({"grace": float("nan")}, "number of seconds"),
        ({"code": "pickle"}, "'import' or 'cloudpickle'"),
        ({"start_method": "fork"}, "Forking a program that has threads"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(GraphDefinitionError, match=text):
        ProcessExecutor(**options)


@pytest.mark.parametrize(("given", "size"), [(7, 7), ("2 kB", 2000), ("1.5MiB", 1_572_864), ("3", 3)])
def test_sizes(given: Any, size: int) -> None:
    assert ProcessExecutor(1, memory_limit=given).memory_limit == size
