"""The health of a store: what can't be read, what nobody needs, what is large, and how it grew."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend, RawObject, RunInfo, Usage, open_backend
from spark_ui.access.sizes import Sizes
from spark_ui.access.weighing import weigh
from spark_ui.pages.growth import bars
from spark_ui.security import form_token
from tests.plugins.ui.run import programs
from tests.plugins.ui.serving import TOKEN, Served, serving
from tests.plugins.ui.test_runs import text_of


class Store(Node):
    """Keeps a value that is stored beside the checkpoint."""

    async def process(self, context: NodeContext) -> None:
        await context.graph_state.set("large", "x" * 200_000)


async def fill(url: str) -> None:
    backend = open_backend(url)
    try:
        for id in ("good", "bad"):
            await Graph(Store(), id=id, checkpoint_config=CheckpointConfig(backend=backend)).run()
    finally:
        await backend.close()


def eventually(look: Callable[[], str], wanted: str) -> str:
    """What it says once that is in it."""
    end = monotonic() + 60
    while wanted not in (text := look()):
        assert monotonic() < end, text
        sleep(0.02)  # the checkup is beside the pages, in another thread
    return text


def check(view: Served, do: str = "start") -> int:
    return view.ask(f"/health/check?do={do}&form_token={form_token(TOKEN)}").status


async def test_a_checkup_names_what_is_damaged(tmp_path: Path) -> None:
    await fill(f"file://{tmp_path}/store")
    (record,) = [path for path in tmp_path.rglob("*") if path.is_file() and "bad" in str(path) and ".ckpt" in path.name]
    record.write_bytes(record.read_bytes()[:-3] + b"!!!")

    with serving(f"file://{tmp_path}/store") as view:
        view.open()
        assert "Check everything" in view.get("/health").text
        assert check(view) == 303
        text = text_of(eventually(lambda: view.get("/health").text, "Check again"))

    assert "damaged 1 checkpoint loaded." in text
    assert re.search(r"Damaged 1 .* bad ckpt_bad_000001", text)


def test_damaged_records_are_shown_and_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"file://{tmp_path}"
    asyncio.run(programs.run("ask", url, "g"))
    for record in tmp_path.rglob("*.ckpt"):
        record.write_bytes(b"x" * 300)

    with serving(url) as served:
        pages = [served.open().get(path).text for path in ("/", "/forks", "/health", "/run/g", "/run/g/timeline")]

    assert "damaged" in pages[0]
    assert caplog.records == []


def test_a_checkup_of_a_store_in_order_says_so_and_when(demo_view: Served) -> None:
    assert check(demo_view) == 303
    text = text_of(eventually(lambda: demo_view.get("/health").text, "Check again"))

    assert "fine 405 checkpoints loaded." in text
    assert "Checked 0 s ago" in text
    assert re.search(r"Largest values .* chat-jonas messages 12\.1 kB", text)


def test_a_checkup_is_begun_by_a_form_of_this_view_only(demo_view: Served) -> None:
    assert demo_view.ask("/health/check").status == 403
    assert demo_view.ask("/health/check?do=start&form_token=guessed").status == 403
    assert demo_view.ask("/health/check", method="POST").status == 405


def test_the_page_has_figures_with_units(demo_view: Served) -> None:
    eventually(lambda: demo_view.get("/health").text, "1.35 MB")
    text = text_of(demo_view.get("/health").text)

    assert "Graphs 27 Checkpoints 405 Stored, large values included 1.35 MB" in text
    assert re.search(r"Largest graphs .* Size chat-jonas 61 403 kB", text)
    assert re.search(r"Largest checkpoints .* Size ckpt_chat-jonas_0000", text)


def test_values_are_weighed_by_what_is_in_them() -> None:
    text = "x" * 1000

    assert weigh(text) == 1008
    assert weigh({"a": [text, text], "b": (1, None)}) == 2 * 1008 + 2 * 9 + 2 * 8 + 3 * 8
    assert weigh(RawObject("app:Order", {"id": text})) == 8 + 8 + 10 + 1008


def test_growth_has_a_bar_for_each_day_since_the_first() -> None:
    today = date(2026, 3, 31)

    found = bars({date(2026, 3, 20): 50, date(2026, 3, 30): 100, date(2026, 1, 1): 1000}, today=today)

    assert [bar.day.day for bar in found] == [*range(20, 32)]
    assert [bar.height for bar in found] == [50.0, *[0.0] * 9, 100.0, 0.0]
    assert bars({}, today=today) == []


@pytest.mark.thorough
def test_a_checkup_can_be_stopped() -> None:
    class Endless(InMemoryCheckpointBackend):
        async def leftovers(self, *arguments: object, **options: object) -> Any:
            await asyncio.Event().wait()

    backend = Endless()
    asyncio.run(Graph(programs.link(1), id="g", checkpoint_config=CheckpointConfig(backend=backend)).run())
    with serving(backend) as view:
        view.open()
        check(view)
        eventually(lambda: view.get("/health").text, 'value="stop"')
        check(view, "stop")
        eventually(lambda: view.get("/health").text, "Check everything")


def test_sizes_that_become_known_meanwhile_do_no_harm(demo_view: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    of, asked = Sizes.of, list[int]()

    async def later(self: Sizes, runs: Sequence[RunInfo]) -> Mapping[str, Usage]:
        asked.append(len(runs))
        return await of(self, runs) if len(asked) > 1 else {}

    monkeypatch.setattr(Sizes, "of", later)

    assert demo_view.ask("/health").status == 200
    assert demo_view.ask("/health").status == 200
