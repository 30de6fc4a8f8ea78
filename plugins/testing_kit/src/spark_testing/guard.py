"""Sees to it that the suites' tests are run: none skipped, none expected to fail, and no suite without any."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from typing import Any, Final

import pytest

from spark_testing.suites.conformance import SUITES, Conformance, base_tests, is_of_the_kit

_EXCUSES: Final = ("skip", "skipif", "xfail")


class Guard:
    """Watches over the conformance tests of one session."""

    def __init__(self, uncollected: Sequence[str], excused: Sequence[str]) -> None:
        self._uncollected = uncollected
        self._excused = excused

    @classmethod
    def of(cls, session: pytest.Session, items: Sequence[pytest.Item]) -> Guard:
        """What is wrong with what was collected, before ``-k`` and ``-m`` choose from it."""
        collected = {kind for item in items if (kind := _suite_of(item)) is not None}
        # A single test that somebody asks for leaves its siblings out on purpose.
        is_whole = not any("::" in argument for argument in session.config.args)
        suites = [suite for suite in SUITES if not is_of_the_kit(suite) and not suite.__subclasses__()]
        lost = [suite for suite in suites if is_whole and suite not in collected and _is_in(session, suite)]
        excused = {
            f"{item.nodeid} is marked {mark.name}"
            for item in items
            if _is_base_test(item)
            for mark in item.iter_markers()
            if mark.name in _EXCUSES
        }
        return cls([f"{suite.__module__}.{suite.__qualname__}" for suite in lost], sorted(excused))

    def complaints(self, session: pytest.Session) -> list[pytest.Item]:
        """Items that fail, so that whoever reads only the end of a report sees it."""
        complaints = [
            *(
                f"not one test of {name} was collected: name the class Test…, and give it no __init__"
                for name in self._uncollected
            ),
            *(f"{said}; the tests of the testing kit are the contract, so none is optional" for said in self._excused),
        ]
        return [_Complaint.from_parent(session, name=f"conformance: {said}", said=said) for said in complaints]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn a skip at run time, of a test or of what its fixtures need, into a failure."""
        report = yield
        if report.skipped and _is_base_test(item) and not any(item.iter_markers("xfail")):
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid} was skipped. The tests of the testing kit can't be: give the fixture what it needs, or define "
                f"the class only where that is available. ({call.excinfo.value if call.excinfo else ''})"
            )
        return report


class _Complaint(pytest.Item):
    """An item that fails."""

    def __init__(self, *, said: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._said = said

    def runtest(self) -> None:
        pytest.fail(self._said, pytrace=False)

    def reportinfo(self) -> tuple[Any, None, str]:
        return self.path, None, self.name


def _suite_of(item: pytest.Item) -> type[Conformance] | None:
    kind = getattr(item, "cls", None)
    return kind if isinstance(kind, type) and issubclass(kind, Conformance) else None


def _is_base_test(item: pytest.Item) -> bool:
    kind = _suite_of(item)
    return kind is not None and getattr(item, "originalname", item.name) in base_tests(kind)


def _is_in(session: pytest.Session, suite: type[Conformance]) -> bool:
    """Whether a file that was collected defines the suite: one that is only imported proves itself elsewhere.

    A file that can't be imported has no module. Its error is pytest's to report, and all there is to say.
    """
    defined_in = getattr(sys.modules.get(suite.__module__), "__file__", None)
    return any(isinstance(node, pytest.Module) and str(node.path) == defined_in for node in session._collection_cache)
