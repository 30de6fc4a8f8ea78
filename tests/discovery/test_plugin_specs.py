"""A spec can be made of anything, and says what is wrong with it: an error would take down the right ones beside it."""

from typing import Any

import pytest

from spark.hooks import API_VERSION, BackendSpec, FormatSpec, TriggerSpec


@pytest.mark.parametrize("kind", [BackendSpec, FormatSpec, TriggerSpec])
def test_a_name_and_a_target_are_enough(kind: Any) -> None:
    spec = kind(name="fine", target="module.sub:Class")

    assert (spec.api_version, spec.summary) == (1, "")
    assert not hasattr(spec, "__dict__")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "Upper"}, "Its name 'Upper' can't be used: write lower case letters"),
        ({"name": "a:b"}, "name 'a:b'"),
        ({"name": ""}, "name ''"),
        ({"name": 3}, "name 3"),
        ({"target": "module.Class"}, 'write "module:Class"'),
        ({"target": "module:"}, 'write "module:Class"'),
        ({"options": "Model"}, 'write "module:Model"'),
        ({"summary": "two\nlines"}, "write one line of text"),
        ({"summary": None}, "write one line of text"),
        ({"schemes": ("s3://",)}, "write a tuple of URL schemes in lower case, without ://"),
        ({"schemes": "s3"}, "is a string: write ('s3',)"),
        ({"schemes": None}, "schemes None"),
        ({"class_names": ("_Private",)}, "class_names ('_Private',)"),
        ({"class_names": "Name"}, "is a string"),
        ({"api_version": "1"}, "api_version '1'"),
        ({"api_version": (2, 1)}, "write 1, or (1, 2)"),
        ({"api_version": (1, 2, 3)}, "write 1, or (1, 2)"),
        ({"api_version": True}, "write 1, or (1, 2)"),
        ({"nam": "x"}, "BackendSpec has no field 'nam'. Did you mean 'name'?"),
        ({"_damage": "x"}, "BackendSpec has no field '_damage'."),
    ],
)
def test_a_mistake_is_named(wrong: dict[str, Any], said: str) -> None:
    spec = BackendSpec(**{"name": "x", "target": "m:C", **wrong})

    assert said in spec.flaw()


def test_a_field_of_a_later_contract_is_ignored_by_a_core_that_the_spec_supports_as_well() -> None:
    """Or one plugin could not serve two cores."""
    later: dict[str, Any] = {"name": "x", "target": "m:C", "regions": 3}

    assert BackendSpec(**later, api_version=(API_VERSION, API_VERSION + 1)).flaw() == ""
    assert "no field 'regions'" in BackendSpec(**later, api_version=API_VERSION).flaw()
    assert "Upgrade spark-graphs" in BackendSpec(**later, api_version=API_VERSION + 1).flaw()


def test_a_spec_that_is_right_has_no_flaw() -> None:
    assert BackendSpec(name="x", target="m:C", schemes=("x",), class_names=("X",), summary="One.").flaw() == ""
    assert FormatSpec(name="x", target="m:C", safe_to_load=True, options="m:M", api_version=(1, 2)).flaw() == ""
    assert "neither True nor False" in FormatSpec(name="x", target="m:C", safe_to_load=1).flaw()  # type: ignore[arg-type]


def test_a_spec_that_does_not_say_was_written_for_version_1() -> None:
    """A default of the installed version would fit every release, and so check nothing."""
    assert BackendSpec(name="x", target="m:C").api_version == 1
    assert API_VERSION >= 1


def test_a_spec_can_not_be_changed() -> None:
    spec = BackendSpec(name="x", target="m:C")

    with pytest.raises(AttributeError):
        spec.name = "y"  # type: ignore[misc]
