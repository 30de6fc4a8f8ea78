"""The smallest executor passes the suite of executors, all in this process."""

from __future__ import annotations

from spark.graphs.executors import Executor
from spark_testing import ExecutorConformance
from tests.support.pickled_executor import PickledExecutor


class TestPickled(ExecutorConformance):
    in_processes = False

    def make_executor(self) -> Executor:
        return PickledExecutor(threads=2)
