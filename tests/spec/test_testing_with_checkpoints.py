"""Testing with Checkpoints: the page's own tests, run by pytest."""

from __future__ import annotations

import pytest

from tests.spec import page
from tests.spec.conftest import PageBlock

pytest_plugins = ["pytester"]

IMPORTS = "from spark.graphs import *\nfrom spark.graphs.checkpoint import *\n"

NODES = """
class FailingNode(Node):
    async def process(self, context):
        raise RuntimeError("it fails")

class WorkingNode(Node):
    async def process(self, context):
        return {"success": True}

"""


@pytest.mark.block("Create Test Checkpoint")
def test_the_pages_test_of_a_restored_graph_passes(block: PageBlock, pytester: pytest.Pytester) -> None:
    result = run_as_tests("from spark.graphs import Graph\n" + block.source(), pytester)

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*SparkWarning: Graph 'test_graph' was restored from a checkpoint that records neither*"]
    )


def test_the_pages_test_can_fail(pytester: pytest.Pytester) -> None:
    """So that its passing says something."""
    code = page.block("Testing with Checkpoints", "Create Test Checkpoint").code.replace("== 42", "== 43")

    result = run_as_tests("from spark.graphs import Graph\n" + code, pytester)

    result.assert_outcomes(failed=1)


@pytest.mark.block("Test Recovery Scenarios")
def test_the_pages_test_of_a_recovery_passes(block: PageBlock, pytester: pytest.Pytester) -> None:
    result = run_as_tests("import pytest\n" + IMPORTS + NODES + block.source(), pytester)

    result.assert_outcomes(passed=1)


def run_as_tests(source: str, pytester: pytest.Pytester) -> pytest.RunResult:
    pytester.makepyfile(source)
    pytester.makeini("""
        [pytest]
        asyncio_default_fixture_loop_scope = function
        filterwarnings =
            error
            default::spark.errors.SparkWarning
    """)
    return pytester.runpytest_inprocess()
