"""Bundles of types with one bug each, and a sound one, under the suite. Run by ``test_planted_types.py``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest

from spark.hooks import TypesSpec
from spark_testing import TypesConformance

FOLDER = Path(tempfile.mkdtemp())
sys.path.insert(0, str(FOLDER))

LIBRARY = """
class Thing:
    def __init__(self, level):
        self.level = level

    def __eq__(self, other):
        return type(other) is Thing and other.level == self.level

    def __hash__(self):
        return hash(self.level)


class Rest:
    pass
"""
BUNDLE = """
{top}
from spark.errors import SerializationError
from spark.graphs.checkpoint import SavedType, Types


class Bundle(Types):
    def types(self):
        from {library} import Rest, Thing

        def to_data(thing):
            {to_data}

        def from_data(data):
            {from_data}

        return [SavedType(Thing, {name!r}, to_data, from_data, copy={copy}, nbytes={nbytes}){more}]
"""


def refuse(*, unless: str = "") -> str:
    return f"""
            if type(thing.level) is not int{unless}:
                raise SerializationError("its level is no integer. Use int(…).")
"""


SOUND_TO_DATA = refuse() + "            return {'level': thing.level, 'bytes': memoryview(bytes(thing.level))}"
SOUND_FROM_DATA = """
            if type(data["level"]) is not int or len(data["bytes"]) != data["level"]:
                raise ValueError("it is no thing")
            return Thing(data["level"])
"""


class Suite(TypesConformance):
    top = ""
    to_data = SOUND_TO_DATA
    from_data = SOUND_FROM_DATA
    name = ""
    copy = "lambda thing: Thing(thing.level)"
    nbytes = "lambda thing: thing.level"
    more = ""
    tried: ClassVar[Any] = (0, 3, 20_000)
    hostile_trees = 60

    def __init_subclass__(cls, **options: Any) -> None:
        library = f"planted_{cls.__name__.lower()}"
        (FOLDER / f"{library}.py").write_text(LIBRARY)
        source = BUNDLE.format(
            library=library,
            top=cls.top.format(library=library),
            to_data=cls.to_data,
            from_data=cls.from_data,
            name=cls.name or f"{library}:Thing",
            copy=cls.copy,
            nbytes=cls.nbytes,
            more=cls.more.format(library=library),
        )
        (FOLDER / f"{library}_types.py").write_text(source)
        cls.spec = TypesSpec(name=library, target=f"{library}_types:Bundle", modules=(library,))
        super().__init_subclass__(**options)

    def thing(self, level: Any) -> Any:
        from importlib import import_module

        return import_module(self.spec.modules[0]).Thing(level)

    @pytest.fixture
    def values(self) -> list[Any]:
        return [self.thing(level) for level in self.tried]

    @pytest.fixture
    def refused(self) -> list[Any]:
        return [self.thing("high")]


class TestSound(Suite):
    pass


class TestEager(Suite):
    top = "import {library}"


class TestMisnamed(Suite):
    name = "elsewhere:Thing"


class TestLossy(Suite):
    from_data = SOUND_FROM_DATA.replace('Thing(data["level"])', 'Thing(min(data["level"], 100))')


class TestPickles(Suite):
    top = "import pickle"
    to_data = refuse() + "            return pickle.dumps(thing)"
    from_data = "return pickle.loads(data)"


class TestUnpickles(Suite):
    """Its import of the function keeps the suite from seeing what it does on the way out."""

    top = "from pickle import dumps, loads"
    to_data = refuse() + "            return dumps(thing)"
    from_data = "return loads(data)"


class TestRunsPrograms(Suite):
    top = "import os"
    from_data = f"os.system('true'){SOUND_FROM_DATA}"


class TestTrusting(Suite):
    """Makes as much as the data says that there is."""

    from_data = "return Thing(len(bytearray(b'x') * data['level']))"


class TestForgetsInCopies(Suite):
    copy = "lambda thing: Thing(0)"


class TestMeasuresNothing(Suite):
    nbytes = "lambda thing: None"


class TestTakesAnything(Suite):
    to_data = SOUND_TO_DATA.replace("is not int", "is None").replace("bytes(thing.level)", "bytes(3)")


class TestLeavesOneOut(Suite):
    more = ", SavedType(Rest, '{library}:Rest', lambda rest: None, lambda data: Rest())"


SOUND = ("Sound",)
BUGS = {
    "Eager": "not_imported_before",
    "Misnamed": "lead_back",
    "Lossy": "come_back_exactly",
    "Pickles": "nothing_is_pickled",
    "Unpickles": "nothing_is_pickled",
    "RunsPrograms": "nothing_is_pickled",
    "Trusting": "hostile",
    "ForgetsInCopies": "copy_is_exact",
    "MeasuresNothing": "size_is_a_number",
    "TakesAnything": "is_refused",
    "LeavesOneOut": "every_class_is_tried",
}
"""Suite to a part of the name of the test that finds its bug."""
