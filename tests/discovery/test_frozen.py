"""What PyInstaller is told to take into an app. ``tests/install/test_frozen.py`` builds one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from importlib_metadata import entry_points

from tests.support.sites import Site

COLLECTED = """
import json
from spark._pyinstaller.collecting import data_files, distributions, modules
print(json.dumps({"modules": modules(), "files": data_files(), "distributions": distributions()}))
"""

HOOKS = """
from spark.hooks import TriggerSpec, hookimpl

@hookimpl
def spark_triggers():
    return [TriggerSpec(name="cost", target="{target}:Cost")]
"""


def test_of_the_core_each_module_is_taken_and_the_files_beside_them(run_fresh: Callable[..., str]) -> None:
    collected = json.loads(run_fresh(COLLECTED))

    assert {"spark", "spark.builtin", "spark.hooks.specs", "spark.graphs.checkpoint.policies.triggers"} <= set(
        collected["modules"]
    )
    assert not [module for module in collected["modules"] if "_pyinstaller" in module or "__init__" in module]
    assert "spark/hooks" in [place for file, place in collected["files"] if file.endswith("extras.json")]
    assert "spark-graphs" in collected["distributions"]


def test_a_plugin_without_a_hook_is_taken_with_the_modules_that_its_specs_name(
    site: Site, run_fresh: Callable[..., str]
) -> None:
    add_package(site.folder / "fake_cost", {"__init__": "", "rules/__init__": "", "rules/cost": "class Cost: ..."})
    (site.folder / "fake_cost" / "prices.csv").write_text("model,dollars\n")
    site.install("fake-trigger", HOOKS.format(target="fake_cost.rules.cost"))

    collected = json.loads(run_fresh(COLLECTED))

    assert "fake-trigger" in collected["distributions"]
    assert [module for module in collected["modules"] if module.startswith("fake")] == [
        "fake_cost",
        "fake_cost.rules",
        "fake_cost.rules.cost",
        "fake_trigger_plugin",
    ]
    assert [str(site.folder / "fake_cost" / "prices.csv"), "fake_cost"] in collected["files"]


def test_of_a_namespace_only_the_part_of_the_plugin_is_taken(site: Site, run_fresh: Callable[..., str]) -> None:
    add_package(site.folder / "fake_company" / "cost", {"__init__": "", "rule": "class Cost: ..."})
    add_package(site.folder / "fake_company" / "payroll", {"__init__": ""})
    site.install("fake-trigger", HOOKS.format(target="fake_company.cost.rule"))

    collected = json.loads(run_fresh(COLLECTED))

    assert [module for module in collected["modules"] if module.startswith("fake_company")] == [
        "fake_company.cost",
        "fake_company.cost.rule",
    ]


def test_what_is_blocked_or_broken_while_the_app_is_built_stays_outside(
    site: Site, run_fresh: Callable[..., str]
) -> None:
    site.install("fake-trigger", HOOKS.format(target="json"))
    site.install("fake-broken", "import nothing_of_this_name")

    collected = json.loads(run_fresh(COLLECTED, SPARK_DISABLE_PLUGINS="fake-trigger").splitlines()[-1])

    assert not [each for kind in ("modules", "distributions") for each in collected[kind] if "fake" in each]


def test_each_hook_of_ours_is_found_by_its_entry_point() -> None:
    found = {
        entry_point.module.partition(".")[0]: entry_point.load()()
        for entry_point in entry_points(group="pyinstaller40", name="hook-dirs")
        if entry_point.module.startswith("spark")
    }

    assert found.keys() == {"spark", "spark_backend_file", "spark_backend_sql"}
    for package, folders in found.items():
        assert [path.name for folder in folders for path in Path(folder).glob("hook-*")] == [f"hook-{package}.py"]


def add_package(folder: Path, modules: dict[str, str]) -> None:
    for name, source in modules.items():
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
