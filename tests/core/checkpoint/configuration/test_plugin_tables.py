"""``[plugins.NAME]`` completes what is chosen by that name, wherever it is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from spark.errors import GraphDefinitionError, SparkError
from spark.graphs import Graph
from spark.graphs.checkpoint import Boundary, CheckpointConfig, InMemoryCheckpointBackend, Trigger
from spark.graphs.checkpoint.configuration.files import Table
from spark.graphs.checkpoint.configuration.plugin_options import completed
from spark.hooks import BackendSpec, TriggerSpec, hookimpl, register
from tests.support.running import countdown
from tests.support.sites import Site

LOCKED = "[plugins.locked]\nkey = 'of the file'\n"


class Capped(InMemoryCheckpointBackend):
    """Takes an option of its own, and has the name of its parent."""

    def __init__(self, *, most: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.most = most

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Capped:
        return cls(**options)


class CappedOptions(BaseModel):
    most: int = Field(1, le=5)


class RareOptions(BaseModel):
    every: int
    license_key: SecretStr


class Rare(Trigger):
    """Its options are checked by a model."""

    def __init__(self, every: int, license_key: SecretStr) -> None:
        self.every = every
        self.license_key = license_key

    def is_due(self, boundary: Boundary) -> bool:
        return boundary.iteration % self.every == 0


class Plugin:
    @hookimpl
    def spark_triggers(self) -> list[TriggerSpec]:
        return [TriggerSpec(name="rare", target=f"{__name__}:Rare", options=f"{__name__}:RareOptions")]

    @hookimpl
    def spark_backends(self) -> list[BackendSpec]:
        modelled = BackendSpec(name="modelled", target=f"{__name__}:Capped", options=f"{__name__}:CappedOptions")
        return [BackendSpec(name="capped", target=f"{__name__}:Capped", schemes=("capped",)), modelled]


@pytest.fixture(autouse=True)
def plugins(shop: Site) -> Iterator[None]:
    with register(Plugin()):
        yield


def loaded(project: Path, settings: str, **overrides: Any) -> CheckpointConfig:
    (project / "spark.toml").write_text(settings)
    return CheckpointConfig.load(**overrides)


def codec_in(config: CheckpointConfig) -> Any:
    (codec,) = config.record_codec(config.open_backend()).codecs
    return codec


@pytest.mark.parametrize(
    "settings",
    [
        "[checkpoint]\ncodec = 'locked'\n",
        "[checkpoint]\ncodec = ['locked']\n",
        "[checkpoint]\nurl = 'memory://?codec=locked'\n",
        "[checkpoint]\nurl = 'memory://'\noptions = {codec = 'locked'}\n",
    ],
)
def test_a_codec_gets_its_key(project: Path, settings: str) -> None:
    config = loaded(project, settings + LOCKED)

    assert codec_in(config).key == b"of the file"


@pytest.mark.parametrize("overrides", [{"backend": "memory://?codec=locked"}, {"codec": "locked"}])
def test_also_where_the_program_chooses_it(project: Path, overrides: dict[str, Any]) -> None:
    config = loaded(project, LOCKED, **overrides)

    assert codec_in(config).key == b"of the file"


def test_also_where_an_environment_variable_chooses_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_CHECKPOINT_URL", "memory://?codec=locked")

    config = loaded(project, LOCKED)

    assert codec_in(config).key == b"of the file"
    assert config.sources["codec"] == "SPARK_CHECKPOINT_URL"


def test_a_url_with_a_mistake_is_refused_where_it_is_opened(project: Path) -> None:
    config = loaded(project, "[checkpoint]\nurl = 'memory://?codec=locked&codec=mirror'\n" + LOCKED)

    with pytest.raises(
        GraphDefinitionError, match=r"^spark\.toml:\[checkpoint\] url: .* The option codec is in the URL twice"
    ):
        config.open_backend()


def test_a_setting_of_its_own_wins_over_the_url(project: Path) -> None:
    config = loaded(project, "[checkpoint]\nurl = 'memory://?codec=locked'\ncodec = 'mirror'\n" + LOCKED)

    assert codec_in(config).name == "mirror"


@pytest.mark.parametrize(
    ("settings", "overrides"),
    [
        ("[checkpoint]\nbackend = 'capped'\n", {}),
        ("[checkpoint]\nurl = 'capped://'\n", {}),
        ("", {"backend": "capped"}),
        ("", {"backend": "capped://"}),
    ],
)
def test_a_backend_gets_its_options(project: Path, settings: str, overrides: dict[str, Any]) -> None:
    backend = loaded(project, settings + "[plugins.capped]\nmost = 9\n", **overrides).open_backend()

    assert isinstance(backend, Capped)
    assert backend.most == 9


def test_options_beside_the_store_win(project: Path) -> None:
    settings = "[checkpoint]\nbackend = 'capped'\noptions = {most = 3}\n[plugins.capped]\nmost = 9\n"

    assert loaded(project, settings).open_backend().most == 3  # type: ignore[attr-defined]


def test_what_is_said_of_the_format_is_not_lost_with_them(project: Path) -> None:
    config = loaded(project, "[plugins.capped]\nmost = 9\n", backend="capped", codec="mirror")

    assert codec_in(config).name == "mirror"


def test_a_backend_is_called_by_the_name_that_it_was_chosen_by(project: Path) -> None:
    with pytest.raises(
        GraphDefinitionError, match=r"options\.mst: the capped backend has no such option\. Did you mean 'most'"
    ):
        loaded(project, "[checkpoint]\nbackend = 'capped'\noptions = {mst = 3}\n")


def test_options_of_a_backend_are_checked_by_its_model(project: Path) -> None:
    modelled = "[checkpoint]\nbackend = 'modelled'\noptions = {{format = 'json', most = {}}}\n"

    assert loaded(project, modelled.format(5)).open_backend().most == 5  # type: ignore[attr-defined]
    with pytest.raises(
        GraphDefinitionError, match=r"options\.most: Input should be less than or equal to 5; it is a whole"
    ):
        loaded(project, modelled.format(6))


@pytest.mark.parametrize("given", [{"webhook": {"url": "http://x"}}, [{"webhook": {"url": "http://x"}}]])
def test_an_observer_that_the_program_chooses_gets_the_rest(project: Path, given: Any) -> None:
    """The table alone would not be enough to make it."""
    (webhook,) = loaded(project, "[plugins.webhook]\ntoken = 'of the file'\n", handler=given).handler  # type: ignore[union-attr, misc, str-unpack]

    assert (webhook.url, webhook.token.get_secret_value()) == ("http://x", "of the file")


def test_a_table_need_not_say_all_of_it(project: Path) -> None:
    table = "[plugins.rare]\nlicense_key = 's3cret'\n"

    assert loaded(project, table).trigger is None
    assert repr(loaded(project, f"[checkpoint]\ntrigger.rare.every = 5\n{table}").trigger).startswith("Rare(every=5, ")


def test_of_a_table_within_recorded_options_only_secrets_are_replaced() -> None:
    recorded = {"sink": {"headers": {"Authorization": "***", "Accept": "json"}, "url": "http://x", "token": "***"}}
    table = Table(
        "spark.toml:[plugins.sink]", {"headers": {"Authorization": "new", "Accept": "xml"}, "url": "http://y"}
    )

    whole = completed(recorded, {"sink": table}, only_secrets=True)

    assert whole == {"sink": {"headers": {"Authorization": "new", "Accept": "json"}, "url": "http://x", "token": "***"}}


async def test_an_observer_that_nobody_configured_is_no_mistake(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await Graph(countdown(), id="g", checkpoint_config=CheckpointConfig()).run({"limit": 1})

    assert "webhook" not in caplog.text


def test_a_table_that_nothing_chooses_is_checked_all_the_same(project: Path) -> None:
    with pytest.raises(
        SparkError, match=r"^spark\.toml:\[plugins\.locked\] kee: the codec 'locked' has no such option"
    ):
        loaded(project, "[plugins.locked]\nkee = 'x'\n", backend="memory://?codec=mirror")
