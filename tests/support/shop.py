"""A distribution with a plugin of each kind that is chosen by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.sites import Site, site_in

PLUGIN = """
    from dataclasses import dataclass, field
    from pydantic import BaseModel, SecretStr
    from spark.graphs.checkpoint import CheckpointHandler, CheckpointInfo, CheckpointSerializer, Retention, Trigger
    from spark.graphs.checkpoint.storage import Codec
    from spark.hooks import CodecSpec, ObserverSpec, RetentionSpec, SerializerSpec, TriggerSpec, hookimpl

    class CostBudget(Trigger):
        name = "cost_budget"

        def __init__(self, dollars: float) -> None:
            if dollars <= 0:
                raise ValueError("dollars must be above 0")
            self.dollars = dollars

        def is_due(self, boundary):
            return boundary.iteration % self.dollars == 0

        def options(self):
            return {"dollars": self.dollars}

        def __repr__(self):
            return f"CostBudget({self.dollars})"

    class KeepOdd(Retention):
        name = "keep_odd"

        def keeps(self, checkpoint, *, age, now):
            return checkpoint.sequence % 2 == 1

    class Upper(CheckpointSerializer):
        name = "upper"
        safe_to_load = True

        def __init__(self, marks: tuple[str, ...] = ()) -> None:
            self.marks = marks

    class WebhookOptions(BaseModel):
        url: str
        token: SecretStr = SecretStr("")
        headers: dict[str, str] = {}

    @dataclass
    class Webhook(CheckpointHandler):
        url: str
        token: SecretStr
        headers: dict[str, str]
        told: list = field(default_factory=list)

        def on_checkpoint_created(self, checkpoint):
            self.told.append(("created", checkpoint.graph_id))

        async def on_checkpoint_failed(self, graph_id, error):
            self.told.append(("failed", graph_id, str(error)))

    class Counter(CheckpointHandler):
        made = []

        def __init__(self, start: int = 0) -> None:
            self.count = start
            Counter.made.append(self)

        async def on_checkpoint_created(self, checkpoint):
            self.count += 1

    class Mirror(Codec):
        name = "mirror"

        def encode(self, data):
            return data[::-1]

        def decode(self, data, *, limit):
            return data[::-1]

    class Locked(Codec):
        name = "locked"

        def __init__(self, key: str) -> None:
            self.key = key.encode()

        def encode(self, data):
            return self.key + data

        def decode(self, data, *, limit):
            if not data.startswith(self.key):
                raise ValueError("another key")
            return data[len(self.key):]

    @hookimpl
    def spark_codecs():
        return [
            CodecSpec(name="mirror", target="fake_shop_plugin:Mirror"),
            CodecSpec(name="locked", target="fake_shop_plugin:Locked"),
        ]

    @hookimpl
    def spark_triggers():
        return [TriggerSpec(name="cost_budget", target="fake_shop_plugin:CostBudget")]

    @hookimpl
    def spark_retentions():
        return [RetentionSpec(name="keep_odd", target="fake_shop_plugin:KeepOdd")]

    @hookimpl
    def spark_serializers():
        return [SerializerSpec(name="upper", target="fake_shop_plugin:Upper")]

    @hookimpl
    def spark_observers():
        return [
            ObserverSpec(name="webhook", target="fake_shop_plugin:Webhook", options="fake_shop_plugin:WebhookOptions"),
            ObserverSpec(name="counter", target="fake_shop_plugin:Counter"),
        ]
"""


@contextmanager
def shop_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site with the distribution in it; other distributions can be added."""
    folder.mkdir()
    with site_in(folder, monkeypatch) as site:
        site.install("fake-shop", PLUGIN)
        yield site
