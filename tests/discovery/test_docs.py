"""``docs/plugins.md`` tells of every hook, setting and spec field as they are."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from spark.hooks import BackendSpec, FormatSpec, TriggerSpec, entry_points, specs

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
HOOKS = [name for name, value in vars(specs).items() if hasattr(value, f"{specs.PROJECT}_spec")]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_exact_signature(hook: str) -> None:
    arguments = inspect.signature(getattr(specs, hook)).parameters

    assert f"`{hook}({', '.join(arguments)})`" in PAGE


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_says_when_it_is_called(hook: str) -> None:
    assert (getattr(specs, hook).__doc__ or "").startswith("Called ")


def test_every_hook_is_either_providing_or_an_event() -> None:
    assert sorted(HOOKS) == sorted([*specs.PROVIDING, *specs.EVENTS])


@pytest.mark.parametrize("kind", [BackendSpec, FormatSpec, TriggerSpec])
def test_every_field_of_every_spec_is_documented(kind: type) -> None:
    assert f"`{kind.__name__}`" in PAGE
    assert [field.name for field in fields(kind) if f"`{field.name}`" not in PAGE] == []


@pytest.mark.parametrize("setting", [entry_points.ALLOW, entry_points.BLOCK])
def test_every_setting_is_documented(setting: str) -> None:
    assert f"`{setting}`" in PAGE
