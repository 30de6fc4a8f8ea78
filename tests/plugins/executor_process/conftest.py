"""Workers of these tests are forked from a process that has imported everything: that is faster than starting each."""

from __future__ import annotations

import multiprocessing

multiprocessing.set_forkserver_preload(
    [
        "numpy",
        "pytest",
        "spark_executor_process.serving",
        "spark.graphs.executors.worker",
        "spark_testing.suites.executors.nodes",
        "spark_types_arrays.bundles",
    ]
)
