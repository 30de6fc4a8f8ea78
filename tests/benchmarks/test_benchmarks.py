"""Each benchmark runs, with so little to do that the figures mean nothing: what they are is for ``make bench`` to say."""

from __future__ import annotations

import ast
import importlib
import math
import sys
import threading
from contextlib import closing
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import ALL
from benchmarks.contest import ours
from benchmarks.contest.participants import PEERS, ROOT, Participant, ours_and_floor, participant, peers
from benchmarks.contest.rows import ROWS, Job, Laps, Row
from benchmarks.contest.table import markdown, run
from benchmarks.curves import growing, growth
from benchmarks.curves.charts import CURVES, Curve, draw, table
from benchmarks.curves.stores import LOCAL, Place, Servers
from benchmarks.curves.svg import Chart, Line, Point
from benchmarks.effort import Effort
from tests.support.variants import first_of

TINY = Effort(rounds=1, share=0.002)
ENOUGH = {"memory": 2, "discovery": 1, "databases": 6, "compression": 18}
"""Of those that would take seconds, so many comparisons."""


@pytest.mark.parametrize("name", first_of(ALL))
def test_each_benchmark_yields_rows_with_figures(name: str) -> None:
    module = importlib.import_module(f"benchmarks.costs.{name}")

    with closing(module.compare(TINY)) as found:
        comparisons = list(islice(found, ENOUGH.get(name)))

    assert comparisons
    assert [thread.name for thread in threading.enumerate() if "backend" in thread.name] == []
    for comparison in comparisons:
        assert all(figure > 0 for figure in comparison.floor), comparison.work
        assert all(math.isfinite(figure) for figure in comparison.ours), comparison.work
        assert comparison.row().count("|") == 6


@pytest.mark.parametrize("curve", first_of(CURVES), ids=lambda curve: curve.name)
def test_each_curve_has_figures_for_its_two_smallest_sizes(curve: Curve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in {"STEPS": 10, "CHECKPOINTS": 40, "READS": 2}.items():
        monkeypatch.setattr(growth, name, few)
    for name, few in {"STEPS": 5, "FEW_STEPS": 5, "READS": 2, "MOST_FAR": 10}.items():
        monkeypatch.setattr(growing, name, few)
    monkeypatch.setattr(Place, "has", lambda place, store: store in LOCAL)

    with Servers() as servers:
        chart = draw(curve, servers, TINY)

    assert len(chart.lines) >= 2
    for line in chart.lines:
        assert [point.x for point in line.points[:2]] == list(curve.sizes[: len(line.points)][:2])
        assert all(point.median > 0 for point in line.points)
    assert len(list(table(chart))) == 2 + len(chart.lines[0].points)


@pytest.mark.thorough
def test_a_curve_over_every_store_begins_the_servers_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "FEW_STEPS", 5)
    curve = next(curve for curve in CURVES if curve.name == "list-length")

    with Servers() as servers:
        chart = draw(curve, servers, TINY)

    assert {"PostgreSQL", "S3"} <= {line.name for line in chart.lines}


def test_a_chart_is_a_picture_with_every_point_inside_its_frame() -> None:
    lines = [
        Line("ours", [Point(1, 20, 10, 30), Point(1_000, 50_000, 40_000, 60_000)]),
        Line("floor: bare", [Point(1, 2, 1, 3), Point(1_000, 20, 0, 30)], is_floor=True),
    ]

    picture = ElementTree.fromstring(Chart("a < b", "things", "us", lines, "a note\nand more").svg())

    found = [element for element in picture.iter() if element.tag.endswith("circle")]
    assert len(found) == 4
    assert all(78 <= float(circle.attrib["cx"]) <= 572 and 44 <= float(circle.attrib["cy"]) <= 314 for circle in found)
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert {"a < b", "things", "us", "ours", "floor: bare", "a note", "and more"} <= set(texts)


def test_ours_and_the_floor_take_part_in_every_row_of_the_contest() -> None:
    names = {row.name for row in ROWS}

    assert [sorted(names - one.does) for one in ours_and_floor()] == [[], []]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.sizes and not row.needs_postgresql], ids=lambda row: row.name
)
async def test_our_part_of_a_row_with_sizes_does_the_work(row: Row, tmp_path: Path) -> None:
    """Each checks its own result, as far as it has one."""
    job = Job(6, tmp_path, "bench", size=12_000 if row.is_large else 12, is_large=row.is_large)

    assert await getattr(ours, row.name)(job) > 0


def test_of_graphs_at_once_only_the_time_counts_in_which_all_take_steps() -> None:
    """What it costs to begin a run, and to save its first checkpoint, is no part of a step; other rows leave it out, too."""
    early, late = Laps([0.0, 1.0, 5.0, 6.0, 7.0]), Laps([2.0, 4.0, 5.0, 6.0, 9.0])

    assert Laps.seconds_together([early, late]) == (7 - 4) / 5


@pytest.mark.thorough
def test_the_contest_puts_ours_beside_the_floor() -> None:
    rows = [row for row in ROWS if row.name in ("latest", "large_sqlite")]

    lines = list(markdown(ours_and_floor(), TINY, rows))

    assert [line.split("|")[1].strip() for line in lines[:1]] == ["work"]
    figures = [line for line in lines if (line.startswith("| ") and " us " in line) or " ms " in line or " MB " in line]
    assert len(figures) == 3
    assert not any("–" in line or "failed" in line for line in lines if line.startswith("|"))


@pytest.mark.thorough
def test_a_participant_that_fails_is_told_and_does_not_stop_the_others() -> None:
    broken = Participant(
        "broken", "benchmarks.no_such_module", Path(sys.executable), "", frozenset({"loop"}), {}, {}, ()
    )
    rows = [row for row in ROWS if row.name == "loop"]

    [(_, _, results)] = list(run([broken, *ours_and_floor()], TINY, rows))

    assert "no_such_module" in results["broken"].failure
    assert results["spark-graphs"].found


def test_each_peer_is_pinned_exactly_and_accounts_for_every_row() -> None:
    found = peers()

    assert len(found) == len(list(PEERS.glob("[!_]*.py")))
    for peer in found:
        assert peer.pins
        assert all("==" in pin for pin in peer.pins), peer.name
        assert peer.does | set(peer.leaves_out) == {row.name for row in ROWS}, peer.name
        assert ROOT / ".peers" in peer.python.parents


def test_a_peer_that_says_nothing_about_a_row_is_refused(tmp_path: Path) -> None:
    silent = tmp_path / "silent.py"
    silent.write_text('"""Nothing is durable."""\nNAME = "silent"\n\nasync def loop(job):\n    return 1.0\n')

    with pytest.raises(ValueError, match=r"silent\.py.*'fan_out'"):
        participant(silent, python=Path(sys.executable))


@pytest.mark.parametrize("name", ["contest/peak.py", "contest/rows.py", "contest/serve.py", "resident.py", "state.py"])
def test_what_runs_in_a_peers_environment_needs_nothing_installed(name: str) -> None:
    tree = ast.parse((ROOT / "benchmarks" / name).read_text())

    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}

    allowed = {*sys.stdlib_module_names, "benchmarks"}
    assert {module.partition(".")[0] for module in modules if module} <= allowed
    assert {module for module in modules if module and module.startswith("benchmarks")} <= {
        "benchmarks",
        "benchmarks.contest.peak",
        "benchmarks.contest.rows",
    }
