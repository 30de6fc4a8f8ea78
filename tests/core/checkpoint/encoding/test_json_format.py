"""The JSON format keeps the promise of formats."""

from __future__ import annotations

import pytest

from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark_testing import FormatConformance


class TestJson(FormatConformance):
    @pytest.fixture(params=[False, True], ids=["compact", "pretty"])
    def format(self, request: pytest.FixtureRequest) -> JsonFormat:
        return JsonFormat(pretty_print=request.param)
