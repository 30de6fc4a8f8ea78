"""The suite finds bugs that were planted in backends."""

from __future__ import annotations

from pathlib import Path

from tests.kit.test_guard import run_pytest


def test_each_planted_bug_is_found(tmp_path: Path) -> None:
    code = Path(__file__).with_name("planted_backends.py").read_text()

    done = run_pytest(
        tmp_path,
        code,
        "-oasyncio_mode=auto",
        "--tb=no",
        "-k",
        "pause or pruned or cancelled or only_a_name or closing_leaves",
    )

    assert "FAILED test_theirs.py::TestForgets::test_a_writer_resumed_after_a_pause" in done.stdout
    assert "FAILED test_theirs.py::TestGoesOn::test_a_save_cancelled_at_any_await" in done.stdout
    assert "FAILED test_theirs.py::TestLosesCase::test_any_id_is_only_a_name" in done.stdout
    assert "FAILED test_theirs.py::TestLeaks::test_closing_leaves_no_task_thread" in done.stdout
