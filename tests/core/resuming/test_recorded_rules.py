"""Rules of plugins are recorded by the name that leads to their class, and made again from there; what can't be is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from pydantic import SecretStr

from spark.graphs.checkpoint import (
    AfterNode,
    AtIterations,
    Boundary,
    CheckpointConfig,
    CheckpointInfo,
    EveryIterations,
    EverySeconds,
    InMemoryCheckpointBackend,
    KeepAll,
    KeepBest,
    KeepDaily,
    KeepEvery,
    KeepFor,
    KeepLast,
    OnSignal,
    Retention,
    Trigger,
    WhenImproved,
    WithinOverhead,
)
from spark.hooks import RetentionSpec, TriggerSpec, hookimpl, register


class EveryPrime(Trigger):
    """Of a plugin; it does not say what it is called."""

    def __init__(self, *, up_to: int = 100, skip: tuple[int, ...] = (), token: str = "") -> None:
        self.up_to = up_to
        self.skip = skip
        self.token = token

    def is_due(self, boundary: Boundary) -> bool:
        return boundary.iteration in {2, 3, 5, 7}

    def __repr__(self) -> str:
        return f"EveryPrime({self.up_to}, {self.skip}, {self.token!r})"


class KeepOdd(Retention):
    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        return checkpoint.sequence % 2 == 1

    def __repr__(self) -> str:
        return "KeepOdd()"


class Forgets(Trigger):
    """Does not keep its argument."""

    def __init__(self, count: int) -> None:
        pass

    def is_due(self, boundary: Boundary) -> bool:
        return False


class HoldsAnObject(EveryPrime):
    """Is given what no checkpoint can hold."""


class Plugin:
    @hookimpl
    def spark_triggers(self) -> list[TriggerSpec]:
        names = {"primes": "EveryPrime", "forgets": "Forgets", "holds": "HoldsAnObject"}
        return [TriggerSpec(name=name, target=f"{__name__}:{target}") for name, target in names.items()]

    @hookimpl
    def spark_retentions(self) -> list[RetentionSpec]:
        return [RetentionSpec(name="odd", target=f"{__name__}:KeepOdd")]


@pytest.fixture
def plugin() -> Iterator[None]:
    with register(Plugin()):
        yield


def recorded(**rules: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(CheckpointConfig(**rules).to_data()))
    return data


def restored(data: dict[str, Any]) -> tuple[CheckpointConfig, list[str]]:
    config, lost = CheckpointConfig.from_data(data, backend=InMemoryCheckpointBackend())
    assert config is not None
    return config, lost


@pytest.mark.parametrize(
    "rule",
    [
        EveryIterations(5),
        EverySeconds(0.5),
        AfterNode("b", "a"),
        WithinOverhead(),
        AtIterations(100, 10),
        WhenImproved("eval.loss", "min", 0.5),
        OnSignal("SIGTERM", "SIGINT"),
        OnSignal() & EveryIterations(2) | AtIterations(1),
    ],
)
def test_every_trigger_of_the_core(rule: Trigger) -> None:
    config, lost = restored(recorded(trigger=rule))

    assert (repr(config.trigger), lost) == (repr(rule), [])


@pytest.mark.parametrize(
    "rule",
    [
        KeepLast(2),
        KeepFor(days=2),
        KeepAll(),
        KeepEvery(7),
        KeepDaily(),
        KeepDaily(7, timezone="Europe/Berlin"),
        KeepBest(3, "loss", "min", keep_without=False),
        KeepBest(1, "x") | KeepDaily(2) & KeepEvery(2),
    ],
)
def test_every_retention_rule_of_the_core(rule: Retention) -> None:
    config, lost = restored(recorded(retention=rule))

    assert (repr(config.retention), lost) == (repr(rule), [])


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("given", [EveryPrime(up_to=9, skip=(2, 3)), {"primes": {"up_to": 9, "skip": [2, 3]}}])
def test_those_of_plugins_however_they_were_given(given: Any) -> None:
    data = recorded(trigger=given, retention=KeepOdd())
    config, lost = restored(data)

    assert data["trigger"]["primes"].items() >= {"up_to": 9, "skip": [2, 3]}.items()
    assert data["retention"] == {"odd": {}}
    assert repr(config.trigger) == "EveryPrime(9, (2, 3), '')"
    assert (repr(config.retention), lost) == ("KeepOdd()", [])


@pytest.mark.usefixtures("plugin")
def test_within_others() -> None:
    data = recorded(trigger=EveryPrime() | EveryIterations(4))
    config, lost = restored(data)

    assert data["trigger"]["any"][0]["primes"]["up_to"] == 100
    assert (repr(config.trigger), lost) == ("EveryPrime(100, (), '') | EveryIterations(4)", [])


def test_where_the_plugin_is_missing_what_keeps_more_is_used() -> None:
    with register(Plugin()):
        data = recorded(trigger=EveryPrime(token="a secret is not what is missing"), retention=KeepOdd())
    config, (trigger, retention) = restored(data)

    assert repr(config.trigger) == "WithinOverhead(0.05)"
    assert repr(config.retention) == "KeepAll()"
    assert "trigger: No installed plugin provides the trigger 'primes'; installed: " in trigger
    assert "retention: No installed plugin provides the retention 'odd'; installed: " in retention


def test_a_class_that_no_name_leads_to_is_recorded_as_lost() -> None:
    data = recorded(trigger=EveryPrime(), retention=KeepOdd())

    assert data["trigger"] == {"unrecorded": f"{__name__}:EveryPrime"}
    assert data["retention"] == {"unrecorded": f"{__name__}:KeepOdd"}


@pytest.mark.usefixtures("plugin")
def test_a_subclass_of_what_a_name_leads_to_is_another_rule() -> None:
    class EveryPrime(globals()["EveryPrime"]):  # type: ignore[misc]
        pass

    class KeepLast(globals()["KeepLast"]):  # type: ignore[misc]
        pass

    data = recorded(trigger=EveryPrime(), retention=KeepLast(3))

    assert {*data["trigger"], *data["retention"]} == {"unrecorded"}


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("rule", [Forgets(5), HoldsAnObject(skip=(object(),))])  # type: ignore[arg-type]
def test_options_that_can_not_be_told_are_lost(rule: Trigger) -> None:
    data = recorded(trigger=rule)
    config, (lost,) = restored(data)

    assert data["trigger"] == {"unrecorded": f"{__name__}:{type(rule).__name__}"}
    assert repr(config.trigger) == "WithinOverhead(0.05)"
    assert "a rule of your own is not recorded" in lost


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("given", [EveryPrime(token="hunter2"), {"primes": {"token": "hunter2"}}])
def test_secrets_are_not_recorded_and_missed(given: Any) -> None:
    data = recorded(trigger=given)
    config, (lost,) = restored(data)

    assert "hunter2" not in json.dumps(data)
    assert repr(config.trigger) == "WithinOverhead(0.05)"
    assert "'primes' has secret options, which are not recorded: token. Set them in the table [plugins.primes]" in lost


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    "given", [{"primes": {"token": "hunter2"}}, {"all": ["primes", {"primes": {"token": "hunter2"}}]}]
)
def test_a_configuration_shows_no_secret_of_a_rule_whose_repr_does(given: Any) -> None:
    shown = repr(CheckpointConfig(trigger=given))

    assert "hunter2" not in shown
    assert "{'primes': {'token': '***'}}" in shown


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    "given",
    [
        EveryPrime(token="hunter2"),
        {"primes": {"token": "hunter2"}},
        EveryPrime(token=SecretStr("hunter2")),  # type: ignore[arg-type]
        {"any": [{"primes": {"token": "hunter2"}}, "primes"]},
    ],
)
def test_secrets_of_rules_are_taken_from_the_settings(
    given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spark.toml").write_text("[plugins.primes]\ntoken = 'of the file'\nup_to = 5\n")
    monkeypatch.chdir(tmp_path)

    data = recorded(trigger=given)
    config, lost = restored(data)

    assert "hunter2" not in json.dumps(data)
    assert lost == []
    assert config.trigger is not None
    assert repr(config.trigger).startswith("EveryPrime(100, (), 'of the file')")


def test_those_of_the_core_are_recorded_without_a_scan() -> None:
    program = dedent(
        """
        from spark.graphs.checkpoint import *
        from spark.hooks import discovery
        rules = CheckpointConfig(trigger=WhenImproved("loss") | AfterNode("a"), retention=KeepBest(2, "loss") & KeepDaily())
        data = rules.to_data()
        config, lost = CheckpointConfig.from_data(data, backend=InMemoryCheckpointBackend())
        assert not lost and data["trigger"]["any"][0]["when_improved"]["metric"] == "loss", (lost, data)
        assert not discovery.has_found()
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
