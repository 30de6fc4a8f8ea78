"""Everything that an executor has to do, in one suite."""

from __future__ import annotations

import pytest

from spark_testing.suites.executors.failures import Failures
from spark_testing.suites.executors.outcomes import Outcomes
from spark_testing.suites.executors.sharing import Sharing
from spark_testing.suites.executors.stopping import Stopping
from spark_testing.suites.executors.talking import Talking


@pytest.mark.asyncio
class ExecutorConformance(Outcomes, Failures, Stopping, Talking, Sharing):
    """What every executor must do, wherever it executes steps.

    Subclass it as ``Test…`` in a test file, with the method ``make_executor``; say in the attributes what its workers are.
    """
