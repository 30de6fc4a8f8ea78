"""The project's own plugins, which its settings name: can they be imported?"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILES: Final = ("spark.toml", "pyproject.toml")
_KEY: Final = re.compile(rb"^\s*plugins\s*=", re.MULTILINE)


def find_own_plugins() -> bool:
    """Whether settings may name modules as plugins; from now on, these may be in the working directory.

    The directory comes last on the path, so that nothing in it stands in for what is installed. This reads no more of the files
    than it must: to parse them would load the engine.
    """
    with suppress(OSError):
        here = Path.cwd()
        if not any(_names_plugins(folder / name) for folder in (here, *here.parents) for name in _FILES):
            return False
        if str(here) not in sys.path:
            sys.path.append(str(here))
        return True
    return False


def _names_plugins(file: Path) -> bool:
    try:
        return _KEY.search(file.read_bytes()) is not None
    except OSError:
        return False
