"""Let processes race for the sequences of one graph: each has one winner, and the others are told.

    python -m tests.crash.race_writers --url 'sqlite:///{directory}/checkpoints.db' --sequences 1000

For each sequence all of them put a record of their own at the same moment, with large values. Then another process reads the
store. Exit status 0: every sequence was won once, and holds what its winner wrote, with its large values.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial

from spark.errors import SequenceTakenError
from spark_testing.children import LONGEST, give_up_after
from spark_testing.records import make_record
from tests.crash.children import answer_of_child, be_a_child
from tests.crash.stores import MakeBackend, maker

GRAPH_ID = "shared"
WON, LOST = b"w", b"l"


@dataclass(frozen=True)
class Racer:
    """A process that races, as the one that started it sees it."""

    process: int
    start: int
    """A pipe: one byte into it, and the racer puts its next record."""
    outcome: int
    """A pipe: one byte out of it for each record."""


def race(make: MakeBackend, *, sequences: int, racers: int) -> list[int]:
    """Which racer won each sequence, from the first on.

    :raises AssertionError: there was not one winner.
    """
    running = [_start(make, number, sequences) for number in range(racers)]
    winners = []
    try:
        for sequence in range(1, sequences + 1):
            for racer in running:
                os.write(racer.start, b"\n")
            outcomes = [os.read(racer.outcome, 1) for racer in running]
            assert sorted(outcomes) == [LOST] * (racers - 1) + [WON], f"sequence {sequence}: {outcomes}"
            winners.append(outcomes.index(WON))
    finally:
        for racer in running:
            os.kill(racer.process, signal.SIGKILL)  # those that wait for a start that will not come
            os.waitpid(racer.process, 0)
    return winners


def _start(make: MakeBackend, number: int, sequences: int) -> Racer:
    (go, start), (outcome, tell) = os.pipe(), os.pipe()
    process = os.fork()
    if process == 0:
        be_a_child(partial(_put_all, make, number, sequences, go=go, tell=tell))
    os.close(go)
    os.close(tell)
    return Racer(process, start, outcome)


async def _put_all(make: MakeBackend, number: int, sequences: int, *, go: int, tell: int) -> None:
    async with make() as backend:
        await backend.put(make_record(f"warm {number}"))  # connected, before it counts
        for sequence in range(1, sequences + 1):
            record = make_record(GRAPH_ID, sequence, payload=_content(number, sequence), blobs=_blobs(number, sequence))
            os.read(go, 1)
            give_up_after(LONGEST)
            try:
                await backend.put(record)
            except SequenceTakenError:
                os.write(tell, LOST)
            else:
                os.write(tell, WON)


def _content(number: int, sequence: int) -> bytes:
    return b'{"racer": %d, "sequence": %d}' % (number, sequence)


def _blobs(number: int, sequence: int) -> dict[str, bytes]:
    """Some large values, named as the core names them: by sequence, writer and count."""
    return {f"{sequence:012d}-{number:016x}-{each}": b"%d of racer %d" % (each, number) for each in range(2)}


async def complaint_about_winners(make: MakeBackend, winners: list[int]) -> str:
    """What is wrong with what is stored, or ``""``."""
    async with make() as backend:
        stored = [info.sequence for info in (await backend.list(GRAPH_ID)).infos]
        if stored != list(range(1, len(winners) + 1)):
            return f"{len(stored)} sequences are stored after {len(winners)} races: {stored}"
        for sequence, winner in enumerate(winners, start=1):
            record = await backend.get(GRAPH_ID, sequence)
            if record is None or record.payload != _content(winner, sequence):
                return f"sequence {sequence} was won by racer {winner}, and holds {record}"
            blobs = _blobs(winner, sequence)
            if (found := await backend.get_blobs(GRAPH_ID, [*blobs])) != blobs:
                return f"sequence {sequence} was won by racer {winner}, of whose large values {sorted(found)} are right"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--racers", type=int, default=2)
    parser.add_argument("--url", default="file://{directory}", help="of the store; {directory} is a temporary folder")
    parser.add_argument("--backend", default="", help="module:Class, instead of the one installed for the URL")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spark-race-") as folder:
        make = maker(options.url.format(directory=folder), named=options.backend)
        winners = race(make, sequences=options.sequences, racers=options.racers)
        complaint = answer_of_child(partial(complaint_about_winners, make, winners))
        assert not complaint, complaint
    won, seconds = Counter(winners), time.monotonic() - began
    shares = ", ".join(str(won[number]) for number in range(options.racers))
    print(
        f"{options.sequences} sequences, one winner each; won by the {options.racers} racers: {shares}; {seconds:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
