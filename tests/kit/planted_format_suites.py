"""The suites over each of the planted formats and codecs. Run by ``test_planted_formats.py``."""

from __future__ import annotations

import planted_formats
import pytest
from planted_formats import Seal

from spark.graphs.checkpoint.storage import Codec, Format
from spark_testing import CodecConformance, FormatConformance


class PlantedFormat(FormatConformance):
    random_trees = 20

    @pytest.fixture
    def format(self):
        return self.kind()


class PlantedCodec(CodecConformance):
    @pytest.fixture
    def codec(self):
        return self.kind()

    @pytest.fixture
    def another(self):
        return self.kind(b"another")


for _kind in vars(planted_formats).copy().values():
    if isinstance(_kind, type) and _kind.__module__ == "planted_formats":
        _base = PlantedFormat if issubclass(_kind, Format) else PlantedCodec
        assert issubclass(_kind, Format | Codec)
        if _kind is not Seal:
            globals()[f"Test{_kind.__name__}"] = type(
                f"Test{_kind.__name__}", (_base,), {"kind": _kind, "__module__": __name__}
            )
