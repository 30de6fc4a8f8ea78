"""What to do when nothing has this name: the nearest one, and the line that installs what is missing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

from spark.hooks.plugin_specs import Claim

_EXTRAS: Final[dict[str, tuple[str, tuple[Claim, ...]]]] = {
    "file": (
        "spark-graphs-backend-file",
        (
            ("backend", "file"),
            ("URL scheme", "file"),
            ("URL scheme", "local"),
            ("class name", "FileCheckpointBackend"),
        ),
    ),
    "fsspec": (
        "spark-graphs-backend-file",
        tuple(("URL scheme", scheme) for scheme in ("fsspec", "gs", "gcs", "az", "abfs", "abfss", "sftp", "ssh")),
    ),
    "sql": (
        "spark-graphs-backend-sql",
        (
            ("backend", "sql"),
            ("URL scheme", "sqlite"),
            ("URL scheme", "mysql"),
            ("URL scheme", "mariadb"),
            ("class name", "DatabaseCheckpointBackend"),
        ),
    ),
    "postgresql": ("spark-graphs-backend-sql", (("URL scheme", "postgresql"),)),
    "s3": (
        "spark-graphs-backend-s3",
        (("backend", "s3"), ("URL scheme", "s3"), ("class name", "S3CheckpointBackend")),
    ),
    "pickle": ("spark-graphs-serializer-pickle", (("format", "pickle"),)),
}
"""The extras of spark-graphs: the distribution that each installs, and what that provides."""

_EXTRA_OF: Final = {claim: extra for extra, (_, claims) in _EXTRAS.items() for claim in claims}


ALL_OWN: Final = frozenset({"spark-graphs", "builtin", *(distribution for distribution, _ in _EXTRAS.values())})
"""What a list of plugins may name wherever it is not installed: our own distributions."""


def pip_line(wanted: Iterable[Claim]) -> str:
    """What installs the first of these that a distribution of ours provides; empty when none does."""
    return next((f"pip install 'spark-graphs[{_EXTRA_OF[claim]}]'" for claim in wanted if claim in _EXTRA_OF), "")


def own_distributions(wanted: Iterable[Claim]) -> set[str]:
    """The distributions of ours that provide any of these."""
    return {_EXTRAS[_EXTRA_OF[claim]][0] for claim in wanted if claim in _EXTRA_OF}


def nearest(wanted: Sequence[Claim], installed: Iterable[Claim]) -> Claim | None:
    """The claim whose name is most like the wanted one, among what is installed or could be."""
    kinds = {kind for kind, _ in wanted}
    claim_of = {claim[1]: claim for claim in (*_EXTRA_OF, *installed) if claim[0] in kinds}
    close = difflib.get_close_matches(wanted[0][1], sorted(claim_of), n=1)
    return claim_of[close[0]] if close else None
