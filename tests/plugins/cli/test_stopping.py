"""``spark run`` stops when it is asked to, says how to go on, and tells by its exit code what a supervisor is to do."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.support.command_line import Done, file_url, records, spark, workplace_with
from tests.support.variants import first_of

MODULE = """
import asyncio, os, signal, time
from pathlib import Path
from pydantic import BaseModel
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig
from spark_backend_file import FileCheckpointBackend

config = CheckpointConfig(trigger_on_iteration=1, cancel_grace=0.2)

def note(text):
    with open("done", "a") as file:
        print(text, file=file)

@node
async def first(context):
    print("reached", flush=True)
    while not Path("go").exists():
        await asyncio.sleep(0.005)
    note("first")
    return {}

@node
async def second(context):
    note("second")
    return "result"

first >> second
steps = Graph(first, id="steps", checkpoint_config=config)

@node
def thread(context):
    print("reached", flush=True)
    while not Path("go").exists():
        time.sleep(3600)
    return "result"

threads = Graph(thread, id="threads", checkpoint_config=config)

@node
async def loop(context):
    of_the_command = signal.getsignal(signal.SIGTERM)

    def answers(number, frame):
        of_the_command(number, frame)
        print("handled", flush=True)

    signal.signal(signal.SIGTERM, answers)
    print("reached", flush=True)
    time.sleep(3600)

loops = Graph(loop, id="loops", checkpoint_config=config)

class Approval(BaseModel):
    approved: bool

@node
async def ask(context):
    answer = await context.interrupt({"refund": 80}, key="refund", schema=Approval)
    return answer.approved

asking = Graph(ask, id="asking")

def build_asking(graph_id):
    return Graph(ask, id=graph_id)

@node
async def sleep(context):
    await context.sleep(86400)

sleeping = Graph(sleep, id="sleeping")

@node
async def hear(context):
    return await context.wait_for("paid")

def hearing():
    return Graph(hear, id="hearing", checkpoint_config=CheckpointConfig(backend="sqlite:///own.db"))

def build(graph_id):
    return Graph(first, id=graph_id, checkpoint_config=config)

@node
async def fails(context):
    raise ConnectionError("the service is down")

failing = Graph(fails, id="failing")

class SlowToClose(FileCheckpointBackend):
    async def close(self):
        print("reached", flush=True)
        await asyncio.sleep(3600)

@node
async def quick(context):
    return "result"

ended = Graph(quick, id="ended", checkpoint_config=CheckpointConfig(backend=SlowToClose("store")))
"""

URL = "sqlite:///runs.db"


def files() -> str:
    """A store of files in the working directory, which a process begins to use sooner than a database."""
    return file_url(Path.cwd() / "store")


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the module in it."""
    with workplace_with("service", MODULE, tmp_path, monkeypatch) as folder:
        yield folder


class Command:
    """``spark run``, or another command, in a process of its own, whose node has been reached."""

    def __init__(self, target: str, *options: str, command: str = "run") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "spark_cli", command, target, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.before: list[str] = []
        """What was told until then."""
        while (line := self.process.stderr.readline()) != "reached\n":
            self.before.append(line)
            assert self.process.poll() is None, self.before

    def signalled(self, number: signal.Signals) -> str:
        """Send it a signal; what it says to that."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self) -> Done:
        with self.process:
            assert self.process.stderr is not None
            assert self.process.stdout is not None
            told = self.process.stderr.read()  # communicate() would miss what was read ahead with a line
            return Done(self.process.wait(200), self.process.stdout.read(), told)


def told_commands(text: str) -> dict[str, list[str]]:
    """The commands that a message names, by what they are for."""
    found = re.findall(r"^spark: (.*): spark (.*)$", text, re.MULTILINE)
    return {purpose: shlex.split(command) for purpose, command in found}


@pytest.mark.parametrize("number", first_of([signal.SIGTERM, signal.SIGINT]))
def test_the_first_signal_lets_the_running_step_finish_and_the_command_that_is_told_resumes(
    number: signal.Signals, workplace: Path
) -> None:
    command = Command("service:steps", "--url", files())
    said = command.signalled(number)
    (workplace / "go").touch()
    drained = command.end()

    assert f"{number.name}: the run stops at its next boundary, within 20 s" in said
    assert drained.code == 75
    assert (drained.json["status"], drained.json["node"]) == ("drained", "first")
    assert (workplace / "done").read_text() == "first\n"
    resumed = spark(*told_commands(drained.err)["to resume it"])
    assert (resumed.code, resumed.json["content"]) == (0, "result")
    assert (workplace / "done").read_text() == "first\nsecond\n"


@pytest.mark.parametrize("graph", first_of(["steps", "threads"]))
def test_what_does_not_finish_in_time_is_stopped_and_repeated(graph: str, workplace: Path) -> None:
    """A thread that is blocked does not keep the process from exiting."""
    command = Command(f"service:{graph}", "--url", files(), "--grace", "0.1")
    assert "within 0.1 s" in command.signalled(signal.SIGTERM)
    drained = command.end()

    assert (drained.code, drained.json["status"]) == (75, "drained")
    assert ("did not stop when cancelled" in drained.err) == (graph == "threads")
    (workplace / "go").touch()
    assert spark("run", f"service:{graph}", "--url", files(), "--resume").json["content"] == "result"


def test_a_second_signal_cancels_and_the_process_dies_of_the_signal(workplace: Path) -> None:
    store = files()
    command = Command("service:steps", "--url", store)
    command.signalled(signal.SIGINT)
    command.process.send_signal(signal.SIGINT)
    cancelled = command.end()

    assert cancelled.code == -signal.SIGINT
    assert "stopped by SIGINT" in cancelled.err
    assert "checkpoint 'ckpt_steps_000001'" in cancelled.err
    assert told_commands(cancelled.err)["to resume it"] == ["run", "service:steps", "--resume", "--url", store]
    (record,) = records(store)
    assert record.header.metadata["reason"] == "cancelled"


@pytest.mark.thorough
def test_a_second_signal_after_the_run_has_ended_still_lets_it_say_how() -> None:
    command = Command("service:ended")
    command.signalled(signal.SIGINT)
    command.process.send_signal(signal.SIGINT)
    stopped = command.end()

    assert stopped.code == -signal.SIGINT
    assert "stopped by SIGINT\nspark: completed: 1 step," in stopped.err
    assert told_commands(stopped.err)["to resume it"] == ["run", "service:ended", "--resume"]


@pytest.mark.thorough
def test_a_third_signal_kills_even_a_process_whose_event_loop_is_blocked() -> None:
    command = Command("service:loops", "--url", files())
    # One after the other: a signal that comes while the same one is still to be handled is lost.
    assert [command.signalled(signal.SIGTERM) for _ in range(2)] == ["handled\n"] * 2
    command.process.send_signal(signal.SIGTERM)

    assert command.end().code == -signal.SIGTERM


@pytest.mark.thorough
def test_a_run_that_is_stored_nowhere_says_that_it_is_lost() -> None:
    command = Command("service:steps", "--grace", "0")
    command.signalled(signal.SIGTERM)
    drained = command.end()

    assert drained.code == 75
    assert "it can't be resumed, because nothing keeps its checkpoints: give --url" in drained.err


@pytest.mark.parametrize("how", first_of([[], ["--once"]]))
def test_a_worker_drains_its_runs(how: list[str]) -> None:
    drained = Command("service:steps", "--url", files(), "--grace", "0")
    drained.signalled(signal.SIGTERM)
    drained.end()
    command = Command("service:build", "--url", files(), *how, "--grace", "0.1", command="worker")
    assert "runs stop at their next boundary, within 0.1 s" in command.signalled(signal.SIGTERM)
    done = command.end()

    assert done.code == 0
    if how:
        assert [each["status"] for each in done.json["resumed"].values()] == ["drained"]
        assert "1 run stopped" in done.err
    else:
        assert "spark: steps: drained" in done.err
        assert "the worker has ended; 1 drained." in done.err


def test_questions_are_shown_with_the_commands_that_answer_them() -> None:
    asked = spark("run", "service:asking", "--url", URL)

    assert asked.code == 3
    (question,) = asked.json["interrupts"]
    assert [*question["schema"]["properties"]] == ["approved"]
    assert f'    {question["id"]}  ask  {{"refund": 80}}' in asked.err
    commands = told_commands(asked.err)
    refused = spark(*filled_in(commands["to answer and continue"], '{"approved": "perhaps"}'))
    assert refused.code == 3
    assert "the last answer was refused: " in refused.err
    assert refused.json["interrupts"][0]["error"].startswith("approved: Input should be a valid boolean")
    answered = spark(*filled_in(commands["to answer and continue"], '{"approved": true}'))
    assert (answered.code, answered.json["content"]) == (0, True)


def test_questions_are_answered_from_elsewhere() -> None:
    asked = spark("run", "service:asking", "--url", URL)
    command = told_commands(asked.err)["to answer from elsewhere"]
    assert spark(*filled_in(command, '{"approved": false}')).code == 0
    assert spark("run", "service:asking", "--url", URL, "--resume").json["content"] is False


def filled_in(command: list[str], answer: str) -> list[str]:
    return [word.replace("JSON", answer) for word in command]


def test_a_run_that_waits_says_until_when() -> None:
    waiting = spark("run", "service:sleeping", "--url", URL, "--no-wait")

    assert (waiting.code, waiting.json["status"]) == (4, "waiting")
    until = waiting.json["due"][:19].replace("T", " ")
    assert f"the run waits until {until} UTC." in waiting.err
    again = spark(*told_commands(waiting.err)["to resume it then"], "--no-wait")
    assert (again.code, again.json["due"]) == (4, waiting.json["due"])


def test_a_run_that_waits_for_a_signal_says_how_to_send_one() -> None:
    waiting = spark("run", "service:hearing", "--no-wait")

    assert waiting.code == 4
    send = told_commands(waiting.err)["to send one"]
    assert spark(*[{"NAME": "paid", "JSON": "5"}.get(word, word) for word in send]).code == 0
    assert spark(*told_commands(waiting.err)["to resume it then"]).json["content"] == 5


def test_a_function_makes_the_graph_for_an_id_which_is_told_again() -> None:
    asked = spark("run", "service:build_asking", "--id", "refund 7", "--url", URL)
    command = told_commands(asked.err)["to answer and continue"]
    done = spark(*filled_in(command, '{"approved": true}'))
    refused = spark("run", "service:asking", "--id", "refund 7", "--url", URL)

    assert (asked.code, asked.json["graph_id"]) == (3, "refund 7")
    assert (done.code, done.json["graph_id"], done.json["content"]) == (0, "refund 7", True)
    assert (refused.code, "--id needs a function that makes the graph for a graph id" in refused.err) == (2, True)


def test_a_run_that_failed_says_how_to_resume_it() -> None:
    failed = spark("run", "service:failing", "--url", "sqlite:///it's.db")

    assert failed.code == 1
    assert re.search(r"^spark: failed: 0 steps, \d+\.\d s, latest checkpoint ckpt_failing_000001$", failed.err, re.M)
    assert told_commands(failed.err)["to resume it"] == [
        "run",
        "service:failing",
        "--resume",
        "--url",
        "sqlite:///it's.db",
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--answer", "id"], "'id' must be ID=JSON"),
        (["--answer", "id=1", "--resume-state"], "give one of --resume"),
        (["--grace", "-1"], "--grace"),
    ],
)
def test_wrong_usage_is_told(options: list[str], told: str) -> None:
    done = spark("run", "service:asking", "--url", URL, *options)
    assert (done.code, told in done.err) == (2, True)


def test_an_answer_to_a_question_that_is_not_open_is_refused() -> None:
    spark("run", "service:asking", "--url", URL)
    done = spark("run", "service:asking", "--url", URL, "--answer", "unknown=1")
    assert (done.code, "unknown" in done.err) == (1, True)
