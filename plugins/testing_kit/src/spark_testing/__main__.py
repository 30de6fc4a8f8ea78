"""The command of the kit: ``python -m spark_testing new KIND NAME [DIRECTORY]`` makes the project of a plugin."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spark_testing.new.project import KINDS, Project, render


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what the command line asks for; 0, or 1 if it can't be made."""
    given = _parser().parse_args(arguments)
    project = Project(given.kind, given.name)
    target = Path(given.directory or project.distribution)
    try:
        written = render(project, target)
    except FileExistsError:
        print(f"{target} exists already. Name a directory that does not.", file=sys.stderr)
        return 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for file in written:
        print(file)
    print(f"\nNext: cd {target}; pip install -e '.[test]'; pytest. Its README says how to use a clone of spark-graphs.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m spark_testing", description="The testing kit of spark-graphs.")
    new = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "new",
        help="make the project of a plugin",
        description="Make a project of your own: a working plugin, its tests, a README and a workflow that releases it.",
    )
    new.add_argument("kind", choices=KINDS, help=f"what it provides: {', '.join(KINDS)}", metavar="KIND")
    new.add_argument("name", metavar="NAME", help="what users choose it by, for instance cost_budget")
    new.add_argument(
        "directory", metavar="DIRECTORY", nargs="?", help="where to write it, by default its distribution's name here"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
