"""What the world outside remembers of a program, line by line: it outlives every process."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from threading import Lock


class Ledger:
    """Who was paid, what was sent and answered, and which processes died, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []
        self.payments: Counter[str] = Counter()
        self.repaired: set[str] = set()
        """The places of what broke."""
        self.sent: set[int] = set()
        """The messages, by their numbers."""
        self.answered: set[str] = set()
        """The questions of which an answer is in the inbox, each with what was wrong with the answer before."""
        self.given: set[str] = set()
        """The questions that a run was given an answer to as its argument."""
        self.told: set[str] = set()
        """Those whose answer a step was told."""
        self.committed: dict[str, int] = {}
        """How many parts of a step were committed, by place."""
        self.attempts: dict[str, int] = {}
        """The highest attempt of a step of which we know, by place, if it is not the first."""
        self.repeated_attempts: list[str] = []
        """What is wrong with the attempts: none has the number of one that came to its end."""
        self._lock = Lock()

    def note(self, what: str, *about: str) -> None:
        """Something has happened."""
        with self._lock:
            self._add((what, *about))

    def _add(self, line: tuple[str, ...]) -> None:
        self.lines.append(line)
        match line:
            case ["paid", call]:
                self.payments[call] += 1
            case ["repaired", place]:
                self.repaired.add(place)
            case ["sent", number]:
                self.sent.add(int(number))
            case ["answered", question]:
                self.answered.add(question)
            case ["given", question]:
                self.given.add(question)
                self.told.discard(question)  # it may have been told one from the inbox that was not saved
            case ["killed"]:
                self.given &= self.told  # the others may be lost
            case ["told", question]:
                self.told.add(question)
            case ["committed", place, number]:
                self.committed[place] = int(number)
            case ["attempt", place, number]:
                self._add_attempt(place, int(number))

    def _add_attempt(self, place: str, attempt: int) -> None:
        highest = self.attempts.get(place, 1)
        if attempt < highest:
            self.repeated_attempts.append(f"{place} began attempt {attempt} after attempt {highest}")
        self.attempts[place] = max(highest, attempt)

    def may_repeat(self) -> Counter[str]:
        """The calls that were under way when a process died, or a step was cancelled, each time."""
        under_way, found = Counter[str](), Counter[str]()
        for what, *about in self.lines:
            match what:
                case "paid":
                    under_way[about[0]] += 1
                case "got" | "failed":
                    under_way.pop(about[0], None)
                case "left":
                    found[about[0]] += under_way.pop(about[0], 0)
                case "killed" | "stopped":
                    found += under_way
                    under_way.clear()
        return found


class FileLedger(Ledger):
    """The same in a file, which a process that is killed leaves behind."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        if path.exists():
            for line in path.read_text().splitlines():
                self._add(tuple(json.loads(line)))
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, what: str, *about: str) -> None:
        with self._lock:
            os.write(self._file, f"{json.dumps([what, *about])}\n".encode())
            if what == "paid":
                os.fsync(self._file)
            self._add((what, *about))

    def close(self) -> None:
        """It stays where it is."""
        os.close(self._file)
