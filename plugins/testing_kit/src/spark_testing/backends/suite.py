"""Everything that a backend has to do, in one suite."""

from __future__ import annotations

import pytest

from spark_testing.backends.asking_many import AskingMany
from spark_testing.backends.cancelling import Cancelling
from spark_testing.backends.closing import Closing
from spark_testing.backends.declaring import Declaring
from spark_testing.backends.deleting import Deleting
from spark_testing.backends.forgetting import Forgetting
from spark_testing.backends.ids import Ids
from spark_testing.backends.interleaving import Interleaving
from spark_testing.backends.large_values import LargeValues
from spark_testing.backends.listing import Listing
from spark_testing.backends.running import Running
from spark_testing.backends.saving import Saving
from spark_testing.backends.writers import Writers


@pytest.mark.asyncio
class CheckpointBackendConformance(
    Saving,
    Listing,
    AskingMany,
    Deleting,
    Forgetting,
    LargeValues,
    Ids,
    Writers,
    Interleaving,
    Cancelling,
    Closing,
    Declaring,
    Running,
):
    """What every storage backend must do, whatever it stores in.

    Subclass it as ``Test…`` in a test file, with the fixtures ``backend``, ``read_raw`` and, if it is persistent,
    ``open_another``; say in ``capabilities`` what the backend can do.
    """
