"""Ray keeps the contract of executors."""

from __future__ import annotations

import pytest

from spark.graphs.executors import Executor
from spark_executor_ray import RayExecutor
from spark_testing import ExecutorConformance
from tests.plugins.executor_ray.cluster import IS_WANTED, WHY_NOT

if not IS_WANTED:  # the tests of a conformance suite may not be skipped one by one
    pytest.skip(WHY_NOT, allow_module_level=True)

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.usefixtures("cluster")]


class TestRay(ExecutorConformance):
    ends_workers = False  # Ray keeps those of plain nodes for others
    many = 50

    def make_executor(self) -> Executor:
        return RayExecutor(actors=2, max_in_flight=2)
