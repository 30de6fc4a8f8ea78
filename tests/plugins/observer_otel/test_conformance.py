"""The suite of the testing kit."""

from __future__ import annotations

import pytest

from spark.graphs.checkpoint import CheckpointHandler
from spark_testing import ObserverConformance
from tests.plugins.observer_otel.conftest import Telemetry


class TestOpenTelemetry(ObserverConformance):
    @pytest.fixture
    def observer(self, telemetry: Telemetry) -> CheckpointHandler:
        return telemetry.observer()
