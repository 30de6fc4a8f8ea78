"""Forks and branches as a tree."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime

from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointInfo, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import CheckpointQuery, Listing
from spark_ui.access.lines import Lines
from spark_ui.pages.fork_trees import graphs_of, roots
from tests.plugins.ui.run import programs
from tests.plugins.ui.serving import Served, serving
from tests.plugins.ui.test_runs import text_of


def trees(view: Served, path: str = "/forks") -> list[str]:
    found = re.findall(r'<section class="panel tree".*?</section>', view.get(path).text, re.DOTALL)
    return [text_of(tree) for tree in found]


def test_a_tree_shows_branches_and_the_graphs_that_were_forked_from_them(demo_view: Served) -> None:
    branched, forked = trees(demo_view)

    assert branched == (
        "refund-1003 interrupted #1 – #18 18 checkpoints, 3 d ago "
        "branch from #2 #19 – #25 7 checkpoints, 2 d ago latest"
    )
    assert forked == (
        "refund-1002 completed #1 – #18 18 checkpoints, 3 d ago "
        "refund-1002-again interrupted forked from #1 #1 – #9 9 checkpoints, 2 d ago "
        "refund-1002-letter completed forked from #17 #1 – #2 2 checkpoints, 2 d ago"
    )


def test_trees_are_searched_by_their_root(demo_view: Served) -> None:
    assert len(trees(demo_view, "/forks?q=1003")) == 1
    assert "No tree matches" in demo_view.get("/forks?q=wiki").text


def info(
    id: str, sequence: int = 1, *, parent: int | None = None, origin: str = "", manual: bool = False
) -> CheckpointInfo:
    return CheckpointInfo(
        checkpoint_id=f"fork_{id}" if manual else f"ckpt_{id}_{sequence:06}",
        graph_id=id,
        sequence=sequence,
        parent=parent,
        timestamp=datetime(2026, 3, 1, 0, sequence, tzinfo=UTC),
        size=10,
        manual=manual,
        metadata={"origin": origin} if origin else {},
    )


def test_of_thousands_of_graphs_only_those_with_forks_or_branches_have_a_tree() -> None:
    lines = Lines()
    lines.add(
        info(f"plain-{number}", sequence, parent=sequence - 1 or None) for number in range(100) for sequence in (1, 2)
    )
    lines.add([info("a", 1), info("a", 2, parent=1), info("a", 3, parent=1)])
    lines.add(
        [info("b", 1), info("c", 1, origin="ckpt_b_000001", manual=True), info("d", 1, origin="fork_c", manual=True)]
    )
    lines.add([info("lost", 1, origin="ckpt_deleted_000001", manual=True)])

    assert roots(lines) == ["a", "b", "lost"]
    assert lines.forks() == {"b": ["c"], "c": ["d"], "deleted": ["lost"]}


def test_graphs_that_name_each_other_as_their_origin_are_no_endless_tree() -> None:
    lines = Lines()
    lines.add([info("a", 1, origin="ckpt_b_000001"), info("b", 1, origin="ckpt_a_000001")])

    assert len(roots(lines)) in (1, 2)
    assert [id for id, _ in graphs_of("a", lines.forks(), most=10)] == ["a", "b"]


def test_a_graph_with_thousands_of_forks_says_how_many_are_left_out() -> None:
    forks = {"a": [f"fork-{number}" for number in range(5000)]}

    graphs = graphs_of("a", forks, most=100)

    assert len(graphs) == 100
    assert graphs[0] == ("a", 4901)


class Counted(InMemoryCheckpointBackend):
    """Counts how often the history of one graph is read."""

    histories = 0

    async def query(self, query: CheckpointQuery) -> Listing:
        self.histories += query.graph_id is not None
        return await super().query(query)


def test_a_history_is_read_again_only_where_something_is_new() -> None:
    backend = Counted()
    manager = CheckpointManager(backend)

    async def fork(id: str) -> None:
        (first, *_) = await manager.list_checkpoints("g")
        await manager.fork(first.checkpoint_id, id)

    config = CheckpointConfig(backend=backend)
    asyncio.run(Graph(programs.link(1), id="g", checkpoint_config=config).run())
    asyncio.run(fork("one"))
    now = datetime.now(UTC)
    with serving(backend, clock=lambda: now) as served:
        (shown,) = trees(served.open())
        read = backend.histories
        assert trees(served) == [shown]
        assert backend.histories == read

        asyncio.run(fork("two"))
        before = backend.histories
        assert "two" in trees(served)[0]
        assert backend.histories == before + 1
