"""Worker processes keep the contract of executors."""

from __future__ import annotations

from spark.graphs.executors import Executor
from spark_executor_process import ProcessExecutor
from spark_testing import ExecutorConformance


class TestProcesses(ExecutorConformance):
    def make_executor(self) -> Executor:
        return ProcessExecutor(2, start_method="forkserver")
