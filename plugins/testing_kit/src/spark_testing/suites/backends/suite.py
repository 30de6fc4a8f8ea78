"""Everything that a backend has to do, in one suite."""

from __future__ import annotations

import pytest

from spark_testing.suites.backends.asking_many import AskingMany
from spark_testing.suites.backends.cancelling import Cancelling
from spark_testing.suites.backends.closing import Closing
from spark_testing.suites.backends.declaring import Declaring
from spark_testing.suites.backends.deleting import Deleting
from spark_testing.suites.backends.forgetting import Forgetting
from spark_testing.suites.backends.ids import Ids
from spark_testing.suites.backends.interleaving import Interleaving
from spark_testing.suites.backends.large_values import LargeValues
from spark_testing.suites.backends.listing import Listing
from spark_testing.suites.backends.measuring import Measuring
from spark_testing.suites.backends.opening import Opening
from spark_testing.suites.backends.running import Running
from spark_testing.suites.backends.saving import Saving
from spark_testing.suites.backends.writers import Writers


@pytest.mark.asyncio
class CheckpointBackendConformance(
    Saving,
    Listing,
    AskingMany,
    Deleting,
    Forgetting,
    LargeValues,
    Measuring,
    Ids,
    Writers,
    Interleaving,
    Cancelling,
    Closing,
    Declaring,
    Opening,
    Running,
):
    """What every storage backend must do.

    Subclass it as ``Test…`` in a test file, with the fixtures ``backend``, ``read_raw`` and, if it is persistent,
    ``open_another``; say in ``capabilities`` what the backend can do.
    """
