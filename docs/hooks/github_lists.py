"""Lists as GitHub reads them: right below a paragraph, and with three spaces before what belongs to a numbered item.

The Markdown of the site wants an empty line before a list, and four spaces.
"""

from __future__ import annotations

import re
from typing import Any, Final

_ITEM: Final = re.compile(r"(?P<mark>[-*]|\d+\.) ")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with the text of each page."""
    lines: list[str] = []
    mark, is_code = "", False
    for line in markdown.split("\n"):
        if line.startswith("```"):
            is_code = not is_code
        if is_code or not line.strip():
            pass
        elif item := _ITEM.match(line):
            if not mark and lines and lines[-1].strip():
                lines.append("")
            mark = item["mark"]
        elif not line.startswith(" "):
            mark = ""
        if line.startswith("   ") and mark.endswith("."):
            line = " " + line
        lines.append(line)
    return "\n".join(lines)
