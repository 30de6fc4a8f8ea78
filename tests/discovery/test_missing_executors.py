"""An executor whose plugin is not installed is asked for by the command that installs it."""

from __future__ import annotations

import pytest

from spark.errors import PluginNotFoundError
from spark.graphs import Graph, Node
from spark.graphs.executors import close_executors
from tests.support.sites import Site


class Here(Node):
    def process(self) -> None: ...


@pytest.mark.parametrize("name", ["process", "ray"])
def test_the_command_comes_last(site: Site, name: str) -> None:
    site.add_dist_info(f"spark-graphs-executor-{name}", "0", "")  # found first, and provides nothing
    close_executors()  # one that another test has chosen by this name

    with pytest.raises(PluginNotFoundError) as found:
        Graph(Here(executor=name))

    assert str(found.value).endswith(f"To get it: pip install 'spark-graphs[{name}]'")
