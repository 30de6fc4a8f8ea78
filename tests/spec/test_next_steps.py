"""Next Steps: links to pages that are not part of this one."""

from __future__ import annotations

import re

from tests.spec import page


def test_the_section_holds_links_only() -> None:
    lines = [line for line in page.section_text("Next Steps").splitlines() if line]

    assert [re.sub(r"^- \*\*\[([\w ]+)\]\([\w-]+\.md\)\*\*: .+$", r"\1", line) for line in lines] == [
        "Graph State",
        "Execution Modes",
        "Event Bus",
        "Workspace and Artifacts",
    ]
