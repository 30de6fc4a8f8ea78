"""docs/plugins.md says of each hook what the code says: its name and its arguments, and of each spec its fields."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields

from spark.hooks import entry_points, specs
from tests.spec.page import ROOT

PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")

_HOOK_ROW = re.compile(r"^\| `(?P<name>spark_\w+)\((?P<arguments>[^)]*)\)` \|(?P<says>[^|]+)", re.MULTILINE)
_FIELD_ROW = re.compile(r"^\| `(?P<field>\w+)` \| (?P<of>all|`\w+`) \|", re.MULTILINE)


def in_the_code() -> dict[str, list[str]]:
    """Hook to arguments, of everything that pluggy is told."""
    marker = f"{specs.PROJECT}_spec"
    hooks = {name: value for name, value in vars(specs).items() if hasattr(value, marker)}
    return {name: list(inspect.signature(hook).parameters) for name, hook in hooks.items()}


def on_the_page() -> Iterator[tuple[str, list[str]]]:
    for row in _HOOK_ROW.finditer(PLUGINS):
        yield row["name"], row["arguments"].split(", ") if row["arguments"] else []


def test_every_hook_is_on_the_page_once_with_its_exact_arguments() -> None:
    """Arguments are given by name, so a wrong name on the page is a plugin that does not work."""
    documented = list(on_the_page())

    assert dict(documented) == in_the_code()
    assert len(documented) == len(in_the_code())


def test_every_hook_says_when_it_is_called() -> None:
    assert [hook for hook in in_the_code() if not (getattr(specs, hook).__doc__ or "").startswith("Called ")] == []


def test_every_setting_is_on_the_page() -> None:
    assert [name for name in (entry_points.ALLOW, entry_points.BLOCK) if f"`{name}`" not in PLUGINS] == []


def test_every_hook_is_either_asked_or_told() -> None:
    assert sorted(in_the_code()) == sorted([*specs.PROVIDING, *specs.EVENTS])


def test_the_page_names_what_each_hook_returns() -> None:
    says = {row["name"]: row["says"].strip() for row in _HOOK_ROW.finditer(PLUGINS)}

    assert {name: says[name] for name in specs.PROVIDING} == {
        name: f"`{kind.__name__}`" for name, kind in specs.PROVIDING.items()
    }


def test_every_field_of_a_spec_is_on_the_page() -> None:
    common = {each.name for each in fields(specs.PluginSpec) if each.init}
    own = {(each.name, f"`{kind.__name__}`") for kind in specs.PROVIDING.values() for each in fields(kind) if each.init}
    expected = {(name, "all") for name in common} | {(name, of) for name, of in own if name not in common}

    assert {(row["field"], row["of"]) for row in _FIELD_ROW.finditer(PLUGINS)} == expected
