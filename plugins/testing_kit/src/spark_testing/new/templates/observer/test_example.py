"""Each event is posted to the URL, and the token is shown to nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.error import HTTPError

import pytest
from pydantic import SecretStr
from spark_observer_example.observer import Example

from spark.errors import GraphDefinitionError
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointConfig
from spark_testing import ObserverConformance


class Receiver(HTTPServer):
    """A server on this machine that keeps what is posted to it."""

    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[tuple[dict[str, Any], str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((body, self.headers["Authorization"]))
        self.send_response(302 if self.path == "/moved" else 204)
        self.send_header("Location", self.server.url)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


class TestExample(ObserverConformance):
    secrets = ("of the test",)

    @pytest.fixture
    def observer(self, receiver: Receiver) -> Example:
        return Example(receiver.url, token=SecretStr("of the test"))


async def test_a_checkpoint_and_the_end_of_the_run_are_announced(receiver: Receiver) -> None:
    config = CheckpointConfig(handler={"example": {"url": receiver.url, "token": "of the test"}})
    message = await Graph(start=ExitNode(), id="orders-1", checkpoint_config=config).run()

    [(body, authorization), (ended, _)] = receiver.received
    assert body == {"event": "created", "graph_id": "orders-1", "checkpoint_id": "ckpt_orders-1_000001"}
    assert ended == {"event": "completed", "graph_id": "orders-1", "run_id": message.run_id}
    assert authorization == "Bearer of the test"
    assert "of the test" not in repr(config)


async def test_a_server_that_is_away_changes_nothing_for_the_run() -> None:
    config = CheckpointConfig(handler={"example": {"url": "http://127.0.0.1:9/hook"}})

    assert await Graph(start=ExitNode(), id="orders-1", checkpoint_config=config).run()


def test_the_token_does_not_follow_a_redirect(receiver: Receiver) -> None:
    observer = Example(receiver.url.replace("/hook", "/moved"), token=SecretStr("of the test"))

    with pytest.raises(HTTPError, match="302"):
        observer.on_checkpoint_deleted("ckpt_orders-1_000001")


@pytest.mark.parametrize(
    "options", [{}, {"url": "ftp://x"}, {"url": "http://x", "timeout": 60}, {"url": "http://x", "to": 1}]
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(GraphDefinitionError, match=r"handler=.*\.example"):
        CheckpointConfig(handler={"example": options})
