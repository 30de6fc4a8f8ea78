"""A spec that can't be right fails where its author wrote it."""

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
        ({"name": "Upper"}, "name 'Upper' of BackendSpec"),
        ({"name": "a:b"}, "name 'a:b'"),
        ({"name": ""}, "name ''"),
        ({"name": 3}, "name 3"),
        ({"target": "module.Class"}, 'written as "module:Class"'),
        ({"target": "module:"}, 'written as "module:Class"'),
        ({"schemes": ("s3://",)}, "schemes 's3://'"),
        ({"schemes": "s3"}, "is a string; write ('s3',)"),
        ({"class_names": ("_Private",)}, "class_names '_Private'"),
        ({"class_names": "Name"}, "is a string"),
        ({"api_version": "1"}, "api_version '1'"),
    ],
)
def test_a_mistake_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, TypeError)) as raised:
        BackendSpec(**{"name": "x", "target": "m:C", **wrong})

    assert said in str(raised.value)


def test_a_spec_that_does_not_say_was_written_for_version_1() -> None:
    """A default of the installed version would fit every release, and so check nothing."""
    assert BackendSpec(name="x", target="m:C").api_version == 1
    assert API_VERSION >= 1


def test_a_spec_can_not_be_changed() -> None:
    spec = BackendSpec(name="x", target="m:C")

    with pytest.raises(AttributeError):
        spec.name = "y"  # type: ignore[misc]
