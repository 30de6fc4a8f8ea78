"""The recipes for services do what they say: real processes, stopped as a cluster stops them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from tests.spec.page import ROOT

EXAMPLES = ROOT / "examples"
DEPLOYMENT = EXAMPLES / "kubernetes.yaml"


class Process:
    """A process that runs beside the test, and what it has said so far."""

    def __init__(self, *command: str, **environment: str) -> None:
        self.lines: list[str] = []
        self._heard: Queue[str | None] = Queue()
        self._process = subprocess.Popen(
            command,
            cwd=EXAMPLES,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until it says something like this."""
        with suppress(Empty):
            while (line := self._heard.get(timeout=60)) is not None:
                if found := re.search(pattern, line):
                    return found
        self._process.kill()
        raise AssertionError(f"it did not say {pattern!r}:\n" + "\n".join(self.lines))

    def stop(self) -> int:
        """Ask it to end, as Kubernetes does; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        try:
            return self._process.wait(200)
        finally:
            self._process.kill()
            self._listener.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            for line in said:
                self.lines.append(line.rstrip("\n"))
                self._heard.put(self.lines[-1])
        self._heard.put(None)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


class TestWorker:
    """``kubernetes.yaml``: the command is the one that is run here."""

    def container(self) -> tuple[dict[str, Any], dict[str, Any]]:
        deployment = yaml.safe_load(DEPLOYMENT.read_text())
        pod = deployment["spec"]["template"]["spec"]
        return pod, pod["containers"][0]

    def start(self, url: str, folder: Path, *options: str, seconds_per_call: float = 0.1) -> Process:
        """The container's command, in its environment: the variables that the file names, with values of this test."""
        values = {"SPARK_CHECKPOINT_URL": url, "ALIVE_FILE": str(folder / "alive")}
        _, container = self.container()
        environment = {each["name"]: values[each["name"]] for each in container["env"]}
        python, *words = container["command"]
        assert python == "python"
        command = words[:1] + list(options) if options else words
        return Process(sys.executable, *command, **environment, SECONDS_PER_CALL=f"{seconds_per_call}")

    def test_a_worker_that_is_stopped_leaves_its_runs_to_the_next(self, url: str, tmp_path: Path) -> None:
        begun = self.start(url, tmp_path, "--begin", "3")
        assert (begun.end(), begun.lines) == (0, [])
        first = self.start(
            url, tmp_path, seconds_per_call=3
        )  # it has to be stopped meanwhile, on a busy machine as well
        in_flight = first.says("charge (.)")[1]
        assert first.stop() == 0
        assert f"order-{in_flight} drained" in first.lines
        second = self.start(url, tmp_path)
        for _ in range(3 - sum("completed" in line for line in first.lines)):
            second.says(r"order-\d completed")
        assert second.stop() == 0

        said = first.lines + second.lines
        assert Counter(line for line in said if line.startswith(("charge", "ship"))) == Counter(
            f"{what} {number}" for what in ("charge", "ship") for number in (1, 2, 3)
        )

    def test_the_pod_is_killed_no_sooner_than_it_has_drained(self) -> None:
        pod, container = self.container()
        grace = float(container["command"][container["command"].index("--grace") + 1])
        assert pod["terminationGracePeriodSeconds"] >= grace + 10

    def test_the_probe_finds_a_worker_that_shows_no_signs_of_life(self, tmp_path: Path) -> None:
        _, container = self.container()
        alive = tmp_path / "alive"

        def probe() -> int:
            command = container["livenessProbe"]["exec"]["command"]
            return subprocess.run(command, env=os.environ | {"ALIVE_FILE": str(alive)}, capture_output=True).returncode

        assert probe() != 0
        alive.touch()
        assert probe() == 0
        os.utime(alive, (time.time() - 200,) * 2)
        assert probe() != 0

    def test_the_page_shows_the_file(self) -> None:
        shown = DEPLOYMENT.read_text(encoding="utf-8").partition("\n")[2]
        assert f"```yaml\n{shown}```" in (ROOT / "docs" / "shutdown.md").read_text(encoding="utf-8")


class Service:
    """``service_fastapi.py`` on a port of its own."""

    def __init__(self, url: str) -> None:
        self.process = Process(
            sys.executable, "service_fastapi.py", "--port", "0", SPARK_CHECKPOINT_URL=url, SECONDS_PER_CALL="0.5"
        )
        self._at = self.process.says(r"running on (http://\S+)")[1]

    def get(self, path: str) -> Any:
        with urlopen(f"{self._at}{path}", timeout=30) as reply:
            return json.load(reply)

    def post(self, path: str, body: Any) -> int:
        request = Request(f"{self._at}{path}", json.dumps(body).encode(), {"content-type": "application/json"})
        try:
            with urlopen(request, timeout=30) as reply:
                return int(reply.status)
        except HTTPError as error:
            error.close()
            return error.code

    def until(self, path: str, condition: Callable[[Any], bool]) -> Any:
        """Ask again and again, until the answer is like this."""
        deadline = time.monotonic() + 60
        while not condition(found := self.get(path)):
            assert time.monotonic() < deadline, found
            threading.Event().wait(0.05)
        return found


@pytest.mark.thorough
def test_a_service_resumes_what_the_one_before_it_left(url: str) -> None:
    pytest.importorskip("fastapi")
    service = Service(url)
    for number in (1, 2):
        assert service.post(f"/refunds/{number}", {"amount": 80}) == 202
    asked = service.until("/refunds/1", lambda run: run["status"] == "interrupted")
    assert [*asked["questions"].values()] == [{"refund": 80}]
    assert service.post("/refunds/1", {"amount": 80}) == 202  # nothing happens
    assert service.post("/refunds/1", {"amount": 90}) == 409
    assert service.post("/refunds/1/answers", {"nonsense": True}) == 409
    assert service.post("/refunds/1/answers", dict.fromkeys(asked["questions"], True)) == 200
    service.process.says("pay refund-1")
    assert service.process.stop() in (0, -signal.SIGTERM)  # Uvicorn ends by the signal, once all is done
    assert "Application shutdown complete." in "\n".join(service.process.lines)

    following = Service(url)
    assert following.post("/refunds/1/signals/delivered", {"at": "noon"}) == 200
    following.until("/refunds/1", lambda run: run["status"] == "completed")
    asked = following.get("/refunds/2")
    assert following.post("/refunds/2/answers", dict.fromkeys(asked["questions"], False)) == 200
    following.until("/refunds/2", lambda run: run["node"] == "pay")
    following.process.stop()

    said = service.process.lines + following.process.lines
    assert [line for line in said if line.startswith("pay")] == ["pay refund-1"]
