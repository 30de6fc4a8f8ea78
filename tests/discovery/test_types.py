"""Which plugin saves the classes of a library is asked when a value of one is saved or loaded, and not before."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sites import Site
from tests.support.variants import first_of

LIBRARY = """
class Gauge:
    def __init__(self, level):
        self.level = level


class Meter(Gauge):
    pass
"""
BUNDLE = """
from spark.graphs.checkpoint import SavedType, Types


class GaugeTypes(Types):
    install = "gauges-for-python"

    def types(self):
        from gauges.dials import Gauge

        return [SavedType(Gauge, "gauges:Gauge", lambda gauge: gauge.level, Gauge, copy=lambda gauge: Gauge(gauge.level))]
"""
PLUGIN = """
from spark.hooks import TypesSpec, hookimpl

@hookimpl
def spark_types():
    return [TypesSpec(name="gauges", target="gauge_types:GaugeTypes", modules=("gauges",))]
"""
HELPERS = """
import sys
from spark.errors import DeserializationError, SerializationError
from spark.graphs.checkpoint import GraphCheckpoint, register_type
from spark.graphs.checkpoint.storage import RecordCodec
from datetime import datetime

def encode(value):
    checkpoint = GraphCheckpoint("c", "g", datetime(2024, 1, 1), graph_state={"value": value})
    return RecordCodec().encode(checkpoint, sequence=1, manual=True, nonce="n")

def decode(record):
    return RecordCodec().decode(record).graph_state["value"]
"""

Run = Callable[..., str]


@pytest.fixture
def gauges(site: Site) -> Site:
    """A library, and a distribution that provides how its classes are saved."""
    write_library(site.folder)
    site.install("fake-gauges", PLUGIN, gauge_types=BUNDLE)
    site.hide_our_plugins()
    return site


def write_library(folder: Path) -> None:
    (folder / "gauges").mkdir()
    (folder / "gauges" / "__init__.py").write_text("")
    (folder / "gauges" / "dials.py").write_text(LIBRARY)


def test_a_class_is_saved_by_the_plugin_for_its_top_level_module(gauges: Site, run_fresh: Run) -> None:
    printed = run_fresh(
        HELPERS
        + """
from gauges.dials import Gauge
assert "gauge_types" not in sys.modules
record = encode([Gauge(3)])
print(record.payload.count(b'{"$type":["gauges:Gauge",3]}'), decode(record)[0].level, type(decode(record)[0]) is Gauge)
"""
    )

    assert printed == "1 3 True\n"


def test_a_reader_finds_the_plugin_by_the_stored_name_and_only_then_imports_the_library(
    gauges: Site, run_fresh: Run
) -> None:
    printed = run_fresh(
        HELPERS
        + """
from gauges.dials import Gauge
record = encode(Gauge(3))
with open(f"{sys.path[1]}/stored", "wb") as file:
    file.write(record.header.to_json() + b"\\n" + record.payload)
"""
    )
    printed += run_fresh(
        HELPERS
        + """
from pathlib import Path
from spark.graphs.checkpoint.storage import Record, RecordHeader
header, _, payload = Path(f"{sys.path[1]}/stored").read_bytes().partition(b"\\n")
assert "gauges" not in sys.modules and "gauge_types" not in sys.modules
print(decode(Record(RecordHeader.from_json(header), payload)).level, "gauges.dials" in sys.modules)
"""
    )
    assert printed == "3 True\n"


def test_what_the_program_registers_comes_before_the_plugin(gauges: Site, run_fresh: Run) -> None:
    """Also when the plugin's types were in use before."""
    printed = run_fresh(
        HELPERS
        + """
from gauges.dials import Gauge
theirs = encode(Gauge(3))
register_type(Gauge, name="mine", to_data=lambda gauge: [gauge.level], from_data=lambda data: Gauge(data[0]))
mine = encode(Gauge(4))
print(b'["mine",[4]]' in mine.payload, decode(mine).level, decode(theirs).level)
"""
    )

    assert printed == "True 4 3\n"


def test_a_subclass_is_another_class(gauges: Site, run_fresh: Run) -> None:
    """It would come back as its base."""
    printed = run_fresh(
        HELPERS
        + """
from gauges.dials import Meter
try:
    encode({"deep": Meter(3)})
except SerializationError as error:
    print(error)
"""
    )

    assert printed.startswith(
        "graph_state['value']['deep'] can't be saved: its type gauges.dials:Meter is not supported"
    )


def test_nothing_that_a_store_names_is_imported(gauges: Site, run_fresh: Run) -> None:
    """Only the targets of installed plugins are."""
    (gauges.folder / "trap.py").write_text("print('imported')")
    printed = run_fresh(
        HELPERS
        + """
import json
from dataclasses import replace
from spark.graphs.checkpoint.storage import Record
from spark.graphs.checkpoint.records.checksum import checksum
for name in ("trap:Class", "trap.deeper:Class", "os:system", "__main__:x", ":", "gauges.trap:Class", "trap"):
    record = encode(["x"])
    payload = record.payload.replace(b'["x"]', json.dumps({"$type": [name, 1]}).encode())
    header = replace(record.header, size=len(payload), raw_size=len(payload), checksum="")
    header.checksum = checksum("sha256", header.canonical(), payload)
    try:
        decode(Record(header, payload))
    except DeserializationError as error:
        assert "is not registered in this program" in str(error), error
print("trap" in sys.modules)
"""
    )

    assert printed == "False\n"


@pytest.mark.parametrize(
    ("library", "install"),
    first_of([("numpy", "pip install 'spark-graphs[arrays]'"), ("pandas", "pip install 'spark-graphs[arrays]'")]),
)
def test_where_our_plugin_is_missing_the_error_says_how_to_install_it(
    site: Site, run_fresh: Run, library: str, install: str
) -> None:
    site.hide_our_plugins()
    printed = run_fresh(
        HELPERS
        + f"""
import {library}
value = {{"numpy": lambda: {library}.zeros(2), "pandas": lambda: {library}.DataFrame()}}["{library}"]()
try:
    encode({{"a": [value]}})
except SerializationError as error:
    print(error)
"""
    )

    assert printed.startswith("graph_state['value']['a'][0] can't be saved: its type ")
    assert install in printed


def test_a_reader_without_our_plugin_says_how_to_install_it_and_where_the_value_is(site: Site, run_fresh: Run) -> None:
    site.hide_our_plugins()
    printed = run_fresh(
        HELPERS
        + """
from spark.graphs.checkpoint.serialization.reader import TreeReader
try:
    TreeReader().value({"a": [{"$type": ["numpy:ndarray", {}]}]}, "graph_state")
except DeserializationError as error:
    print(error, "numpy" in sys.modules)
"""
    )

    assert printed.startswith("graph_state['a'][0] can't be rebuilt: ")
    assert "pip install 'spark-graphs[arrays]'" in printed
    assert printed.endswith("False\n")


def test_a_missing_library_is_named_with_what_installs_it(site: Site, run_fresh: Run) -> None:
    site.install("fake-gauges", PLUGIN, gauge_types=BUNDLE)
    printed = run_fresh(
        HELPERS
        + """
from spark.graphs.checkpoint.serialization.reader import TreeReader
try:
    TreeReader().value([{"$type": ["gauges:Gauge", 1]}], "graph_state")
except DeserializationError as error:
    print(error)
"""
    )

    assert "graph_state[0] can't be rebuilt" in printed
    assert "pip install gauges-for-python" in printed


def test_a_target_that_is_no_bundle_of_types_is_named(site: Site, run_fresh: Run) -> None:
    write_library(site.folder)
    site.install("fake-gauges", PLUGIN, gauge_types="class GaugeTypes: pass")
    printed = run_fresh(
        HELPERS
        + """
from gauges.dials import Gauge
try:
    encode(Gauge(1))
except SerializationError as error:
    print(error)
"""
    )

    assert "graph_state['value'] can't be saved" in printed
    assert "gauge_types:GaugeTypes is not a subclass of spark.graphs.checkpoint.Types" in printed


def test_a_class_of_nobody_asks_each_plugin_once_and_is_refused(gauges: Site, run_fresh: Run) -> None:
    printed = run_fresh(
        HELPERS
        + """
class Mine:
    pass

for _ in range(2):
    try:
        encode(Mine())
    except SerializationError as error:
        print("register_type" in str(error), "gauge_types" in sys.modules)
"""
    )

    assert printed == "True False\n" * 2


def test_a_copy_is_made_as_the_bundle_says_from_the_first_value_on(gauges: Site, run_fresh: Run) -> None:
    printed = run_fresh(
        HELPERS
        + """
import asyncio
from gauges.dials import Gauge
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend

def deepcopied(gauge, memo):
    print("deepcopied")
    return Gauge(gauge.level)

Gauge.__deepcopy__ = deepcopied

@node
async def start(context):
    gauge = Gauge(1)
    await context.graph_state.set("gauge", gauge)
    gauge.level = 2
    (await context.graph_state.get("gauge")).level = 3
    print((await context.graph_state.get("gauge")).level)

store = InMemoryCheckpointBackend()
asyncio.run(Graph(start, id="g", checkpoint_config=CheckpointConfig(backend=store, trigger_on_iteration=1)).run())
"""
    )

    assert printed == "1\n"


def test_importing_checkpoints_loads_no_plugin_and_none_of_their_libraries(run_fresh: Run) -> None:
    printed = run_fresh(
        """
import sys
import spark.graphs, spark.graphs.checkpoint
print({"numpy", "pandas", "pyarrow", "torch", "spark_types_arrays", "pluggy"} & set(sys.modules))
"""
    )

    assert printed == "set()\n"
    assert "spark" in sys.modules
