"""A webhook: each checkpoint, and the end of each run, is announced to a URL."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from spark.graphs.checkpoint import CheckpointHandler, GraphCheckpoint
from spark.graphs.events import Event, RunFinished


class ExampleOptions(BaseModel):
    """What ``[plugins.example]`` may say. It is checked before an observer is made of it."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(pattern="^https?://")
    token: SecretStr | None = None
    timeout: float = Field(default=5, gt=0, lt=10)  # the run waits ten seconds at most


class Example(CheckpointHandler):
    """Posts a JSON object for each event.

    Plain methods are called in a thread, so they may wait for an answer; the run waits for them. What one raises is logged.

    :param token: sent along, so that the receiver knows who is calling.
    """

    def __init__(self, url: str, *, token: SecretStr | None = None, timeout: float = 5) -> None:
        self.url = url
        self.timeout = timeout
        self._token = token
        self._opener = build_opener(_NoRedirects)

    def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        self._post("created", graph_id=checkpoint.graph_id, checkpoint_id=checkpoint.checkpoint_id)

    def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
        self._post("restored", graph_id=checkpoint.graph_id, checkpoint_id=checkpoint.checkpoint_id)

    def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
        self._post("deleted", checkpoint_id=checkpoint_id)

    def on_checkpoint_failed(self, graph_id: str, error: BaseException) -> None:
        self._post("failed", graph_id=graph_id, error=type(error).__name__)

    def on_event(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            self._post(event.status, graph_id=event.graph_id, run_id=event.run_id)

    def _post(self, event: str, **facts: str) -> None:
        request = Request(self.url, data=json.dumps({"event": event, **facts}).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token.get_secret_value()}")
        with self._opener.open(request, timeout=self.timeout):
            pass


class _NoRedirects(HTTPRedirectHandler):
    """A redirect is an error: the token is for one server."""

    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None
