"""What the library says about its methods, said about the command.

Errors are written for programmers: "run(resume=True)". Who reads them here called no method, so what they are to do is said in
the words of the command. A test collects every message of the library, and finds those that this table does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_RUN: Final = "spark run MODULE:GRAPH"
_ABANDON: Final = (
    r" Or abandon it and keep its state: await graph\.load\(\), then graph\.start = graph\.start, then run\(inputs\)\."
)

_SAYINGS: Final[list[tuple[str, str | Callable[[re.Match[str]], str]]]] = [
    # whole sentences
    (_ABANDON, f" Or leave it unfinished, and begin another from scratch: {_RUN} --input JSON."),
    (
        r"For a new run in this state, run\(inputs, resume='state'\)\.",
        f"For a new run in this state: {_RUN} --resume-state --input JSON.",
    ),
    (r"To begin one, run\(inputs\)\.", f"To begin one: {_RUN} --input JSON."),
    (
        r"To finish it, leave the inputs out: run\(resume=True\)\.",
        f"To finish it, leave --input out: {_RUN} --resume.",
    ),
    (r"For its result, leave the inputs out\.", f"For its result, leave --input out: {_RUN} --resume."),
    (
        r"To continue from there, call run\(task, resume=True\) with a new budget\.",
        f"To continue from there: {_RUN} --resume.",
    ),
    (
        r"to continue from there, use run\(resume=True\) or Graph\.from_checkpoint\(\)\.",
        f"to continue from there: {_RUN} --resume",
    ),
    (
        r"Make a copy under this id: checkpoint\.fork\('?(?P<id>[^)]*?)'?\)\.",
        lambda match: f"Make a copy under this id: spark fork CHECKPOINT_ID --to {match['id']}.",
    ),
    (
        r", or CheckpointManager\.list_checkpoints\(\)",
        "",
    ),
    (
        r"To edit the stored state: await graph\.load\(\), then set_state\(\), then run\(\)\.",
        "To edit the stored state: spark edit.",
    ),
    (
        r"Else pass a start= that leads to it, or set graph\.start to start again with the restored state\.",
        "Otherwise put that node back, or begin a new run in the stored state with --resume-state.",
    ),
    (
        r"pass start= with the first node of the graph that has the new keys\.",
        "the graph must be built with the nodes that have the new keys.",
    ),
    (
        r"To keep only its state, set its topology and frontier to None, and pass start= to Graph\.from_checkpoint\(\)\.",
        "To keep only its state, begin a new run in it with --resume-state.",
    ),
    (r"\(spark\.hooks\.plugins\(\) says why\)", "(`spark plugins` says why)"),
    (
        r"[Gg]ive it a checkpoint_config with a backend[^:]*?, for instance CheckpointConfig\(.*\)\.",
        "give --url, for instance --url sqlite:///runs.db.",
    ),
    (
        r"run\(rename=…\) maps the nodes of a run that is resumed; give resume= as well\.",
        "--rename maps the nodes of a run that is resumed; give --resume as well.",
    ),
    (r"give Graph a checkpoint_config with a backend, or", "give --url, for instance --url sqlite:///runs.db, or"),
    (r"graph\.run\(resume=\{(?P<ids>[^}]*)\}\)", f"{_RUN} --answer ID=JSON"),
    # what is left
    (r"run\(claim=…\): ", ""),
    (r"(?:resume_all|work)\(build_graph\): ", "spark worker MODULE:BUILD: "),
    (r"(?:resume_all|work) was stopped", "the worker was stopped"),
    (r"submit\(\): ", ""),
    (r"run\(resume=\{(?P<id>'[^']*'): …\}\)", lambda match: f"--answer {match['id'][1:-1]}=JSON"),
    (r"run\(resume=\{…\}\)", "--answer"),
    (r"run\(inputs, resume='state'\)", f"{_RUN} --resume-state --input JSON"),
    (r"run\(resume=True\)", f"{_RUN} --resume"),
    (r"run\(inputs\)", f"{_RUN} --input JSON"),
    (r"pass rename=(?P<pairs>\{[^}]*\}|[^\s;,.]+)", lambda match: f"give {_renames(match['pairs'])}"),
    (r"this rename=", "this --rename"),
    (r"with rename= alone", "with --rename alone"),
]
_COMPILED: Final = [(re.compile(pattern), instead) for pattern, instead in _SAYINGS]


def in_words_of_the_command(text: str) -> str:
    """The same message, for somebody at a terminal."""
    for pattern, instead in _COMPILED:
        text = pattern.sub(instead, text)
    return text


def _renames(pairs: str) -> str:
    found = re.findall(r"'([^']*)': (?:'([^']*)'|…)", pairs)
    return " ".join(f"--rename {old}={new or 'NEW'}" for old, new in found) or "--rename OLD=NEW"
