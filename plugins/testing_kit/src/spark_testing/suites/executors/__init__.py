"""The suite that an executor proves itself by."""

from spark_testing.suites.executors.suite import ExecutorConformance

__all__ = ["ExecutorConformance"]
