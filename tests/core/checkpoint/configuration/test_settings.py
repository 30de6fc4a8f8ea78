"""What is in force when nobody writes a configuration into the program: environment, ``spark.toml``, ``pyproject.toml``."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spark.errors import GraphDefinitionError, PluginNotFoundError
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointInfo, InMemoryCheckpointBackend
from spark.graphs.checkpoint.configuration.settings import CheckpointSettings

URL = "SPARK_CHECKPOINT_URL"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with no settings anywhere."""
    monkeypatch.delenv(URL, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def complaint(**overrides: object) -> str:
    with pytest.raises((GraphDefinitionError, PluginNotFoundError)) as caught:
        CheckpointConfig.load(**overrides)
    return str(caught.value)


def test_without_any_setting_the_defaults_are_in_force(project: Path) -> None:
    config = CheckpointConfig.load()

    assert config == CheckpointConfig()
    assert set(config.sources.values()) == {"default"}


def test_each_source_gives_way_to_the_one_before_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_force(**overrides: object) -> tuple[object, str]:
        config = CheckpointConfig.load(**overrides)
        return config.backend, config.sources["backend"]

    (project / "pyproject.toml").write_text('[tool.spark.checkpoint]\nurl = "sqlite:///pyproject.db"\n')
    assert in_force() == ("sqlite:///pyproject.db", "pyproject.toml:[tool.spark.checkpoint] url")
    (project / "spark.toml").write_text('[checkpoint]\nurl = "sqlite:///spark.db"\n')
    assert in_force() == ("sqlite:///spark.db", "spark.toml:[checkpoint] url")
    monkeypatch.setenv(URL, "")
    assert in_force() == ("sqlite:///spark.db", "spark.toml:[checkpoint] url"), "empty means not set"
    monkeypatch.setenv(URL, "sqlite:///environment.db")
    assert in_force() == ("sqlite:///environment.db", "SPARK_CHECKPOINT_URL")
    assert in_force(backend="sqlite:///argument.db") == ("sqlite:///argument.db", "argument")


def test_values_of_several_sources_come_together_and_say_where_from(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.spark.checkpoint]\nmax_checkpoints = 3\ntrigger_on_node = ["train", "test"]\ndurability = "exit"\n'
    )
    (project / "spark.toml").write_text(
        '[checkpoint]\nurl = "memory://"\ndurability = "async"\ntrigger_on_seconds = 30\n'
    )

    config = CheckpointConfig.load(trigger_on_iteration=5)

    assert (config.max_checkpoints, config.trigger_on_node, config.durability) == (3, ["train", "test"], "async")
    assert repr(config.combined_trigger()) == "EveryIterations(5) | EverySeconds(30) | AfterNode('test', 'train')"
    assert config.sources["max_checkpoints"] == "pyproject.toml:[tool.spark.checkpoint] max_checkpoints"
    assert config.sources["durability"] == "spark.toml:[checkpoint] durability"
    assert config.sources["trigger_on_iteration"] == "argument"
    assert config.sources["handler"] == "default"


def test_retention_is_a_rule_of_number_and_age(project: Path) -> None:
    (project / "spark.toml").write_text("[checkpoint.retention]\nkeep_last = {count = 2}\nkeep_for = {days = 7}\n")

    config = CheckpointConfig.load()

    now = datetime.now(UTC)
    old, young = (CheckpointInfo(checkpoint_id="c", graph_id="g", sequence=1, timestamp=now - timedelta(days=days), size=1)
                  for days in (8, 6))  # fmt: skip
    rule = config.combined_retention()
    assert [rule.keeps(old, age=age, now=now) for age in (1, 2)] == [True, False]
    assert rule.keeps(young, age=50, now=now)
    assert config.sources["retention"] == "spark.toml:[checkpoint] retention"


def test_files_are_found_upwards_and_the_nearest_with_a_table_counts(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = project / "packages" / "mine"
    deep.mkdir(parents=True)
    (project / "pyproject.toml").write_text("[tool.spark.checkpoint]\nmax_checkpoints = 3\n")
    (deep.parent / "pyproject.toml").write_text("[tool.ruff]\nline-length = 3\n")
    (deep.parent / "spark.toml").write_text("[checkpoint]\nauto_cleanup = false\n")
    (project / "spark.toml").write_text("[checkpoint]\nauto_cleanup = true\nenabled = false\n")
    monkeypatch.chdir(deep)

    config = CheckpointConfig.load()

    assert (config.max_checkpoints, config.auto_cleanup, config.enabled) == (3, False, True)
    assert config.sources["max_checkpoints"] == "../../pyproject.toml:[tool.spark.checkpoint] max_checkpoints"
    assert config.sources["auto_cleanup"] == "../spark.toml:[checkpoint] auto_cleanup"


def test_of_two_tables_in_pyproject_files_only_the_nearest_counts(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text("[tool.spark.checkpoint]\nmax_checkpoints = 3\n")
    (project / "mine").mkdir()
    (project / "mine" / "pyproject.toml").write_text("[tool.spark.checkpoint]\nenabled = false\n")
    monkeypatch.chdir(project / "mine")

    config = CheckpointConfig.load()

    assert (config.enabled, config.sources["max_checkpoints"]) == (False, "default")


def test_a_store_that_an_argument_replaces_need_not_be_usable(project: Path) -> None:
    (project / "spark.toml").write_text('[checkpoint]\nurl = "elsewhere://not-installed"\n')

    assert CheckpointConfig.load(backend="memory").backend == "memory"


async def test_a_backend_by_name_gets_its_options(project: Path) -> None:
    (project / "spark.toml").write_text(
        '[checkpoint]\nbackend = "file"\n[checkpoint.options]\ndirectory = "kept"\ncompression = true\n'
    )

    config = CheckpointConfig.load(trigger_on_iteration=1)

    async with config.backend:  # type: ignore[union-attr]
        await Graph(start=ExitNode(), id="g", checkpoint_config=config).run()
    (file,) = (project / "kept" / "g").glob("*.ckpt")
    assert file.read_bytes().startswith(b"\x1f\x8b"), "compressed"


async def test_a_url_takes_options_too(project: Path) -> None:
    (project / "spark.toml").write_text(
        '[checkpoint]\nurl = "sqlite:///runs.db"\n[checkpoint.options]\ntable_name = "mine"\n'
    )

    async with CheckpointConfig.load().backend as backend:  # type: ignore[union-attr]
        assert backend.table_name == "mine"  # type: ignore[attr-defined]


def test_options_stay_with_the_store_that_they_were_written_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.spark.checkpoint]\nbackend = "file"\noptions = {directory = "kept"}\nmax_checkpoints = 3\n'
    )
    monkeypatch.setenv(URL, "sqlite:///runs.db")

    config = CheckpointConfig.load()

    assert (config.backend, config.max_checkpoints) == ("sqlite:///runs.db", 3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("trigger_on_iterations = 5", "trigger_on_iterations: there is no such setting. Did you mean 'trigger_on_iteration'?"),
        ("zzz = 5", "zzz: there is no such setting. Known settings: url, backend, options, enabled, "),
        ('trigger_on_iteration = "five"', "trigger_on_iteration: input should be a valid integer; it is text."),
        ("trigger_on_iteration = true", "trigger_on_iteration: input should be a valid integer; it is true or false."),
        ("max_checkpoints = 0", "max_checkpoints: input should be greater than 0; it is a whole number."),
        ('enabled = "yes"', "enabled: input should be a valid boolean; it is text."),
        ('durability = "asinc"', "durability: input should be 'sync', 'async' or 'exit'; it is text."),
        ("trigger_on_node = 5", "trigger_on_node: input should be a valid string; it is a whole number."),
        ("retention = {keep_lst = {}}", "retention.keep_lst: No installed plugin provides the retention 'keep_lst'"),
        ("retention = {last = 5}", "retention.last: this is an option of a rule. Write {'keep_last': {'count': …}}, in a file "
         "the table [checkpoint.retention.keep_last] with count = …."),
        ('retention = {days = "7"}', "retention.days: this is an option of a rule. Write {'keep_for': {'days': …}}, "),
        ("retention.keep_last.cuont = 5", "retention.keep_last.cuont: the retention 'keep_last' has no such option. "
         "Did you mean 'count'?"),
        ('retention.keep_for.days = "7"', "retention.keep_for.days: it is text; the retention 'keep_for' takes a number."),
        ("retention = 5", "retention: give a Retention, the name of an installed retention, or {name: {option: value}}; it is a "
         "whole number."),
        ("retention.keep_last = {}", "retention.keep_last: the retention 'keep_last' needs count."),
        ("trigger.every_iterations = 5", "trigger.every_iterations: give {option: value}; it is a whole number."),
        ("trigger.every_iterations.count = 0", "trigger.every_iterations: the trigger 'every_iterations' refuses these "),
        ("trigger = ['every_seconds']", "trigger: of several, say how they combine. Write "),
        ("trigger = 'any'", 'trigger.any: give an array of rules, each a name or {name: {option: value}}; it is empty.'),
        ("retention.all = []", 'retention.all: give an array of rules, each a name or {name: {option: value}}; it is empty.'),
        ("retention = {}", "retention: give a Retention, the name of an installed retention, or {name: {option: value}}; it is "
         "empty."),
        ("retention.keep_best = {count = 1, metric = 'a', mode = 'mx'}", "retention.keep_best.mode: it is text; the retention "
         "'keep_best' takes 'max' or 'min'."),
        ("trigger.on_signal.signals = 5", "trigger.on_signal.signals: it is a whole number; the trigger 'on_signal' takes "
         "an array of texts."),
        ("trigger.keep_last.count = 1", "trigger.keep_last: 'keep_last' is not a trigger, but the name of a retention rule."),
        ("trigger.any = ['keep_all', {every_secnds = {}}]", "trigger.any[0]: 'keep_all' is not a trigger, but the name of a "
         "retention rule.\nspark.toml:[checkpoint] trigger.any[1].every_secnds: No installed plugin"),
        ("every_seconds = {seconds = 5}", "every_seconds: there is no such setting. 'every_seconds' is a trigger, which goes "
         "under trigger: [checkpoint.trigger.every_seconds] in a file, "),
        ("format = 'jsn'", "format: No installed plugin provides the format 'jsn'; installed: json, "),
        ("format = 5", "format: give a Format, "),
        ("backend = 'memory'\nformat = 'json'\noptions = {format = 'json'}", "options.format: format is set beside the options"),
        ('url = "memory://"\nbackend = "file"', "url: spark.toml:[checkpoint] backend is set, too."),
        ("options = {a = 1}", "options: options belong to a store; set url or backend in the same place."),
        ('backend = "file"\noptions = {directry = "x"}', "options.directry: the file backend has no such option. "
         "Did you mean 'directory'?"),
        ('backend = "file"\noptions = {directory = 5}', "options.directory: it is a whole number; the file backend takes text"),
        ('backend = "file"\noptions = {compression = "gzop", directory = "x"}', "options: the store rejects them: "),
        ('backend = "memory"\noptions = {pretty_prin = true}', "options.pretty_prin: the memory backend has no such option. "
         "Did you mean 'pretty_print'?"),
        ('backend = "memory"\noptions = {pretty_print = 1}', "options.pretty_print: it is a whole number; the memory backend "
         "takes true or false."),
        ('backend = "file"\noptions = {format = "json"}', "options: the store rejects them: "),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_key_and_cure(project: Path, settings: str, expected: str) -> None:
    (project / "spark.toml").write_text(f"[checkpoint]\n{settings}\n")

    message = complaint()

    assert message.startswith(f"spark.toml:[checkpoint] {expected}"), message


def test_every_argument_that_is_a_plain_value_can_be_set_in_a_file() -> None:
    assert {each.name for each in fields(CheckpointConfig)} - {"sources"} <= CheckpointSettings.model_fields.keys()


def test_all_mistakes_are_told_at_once(project: Path) -> None:
    (project / "spark.toml").write_text("[checkpoint]\nenable = true\nmax_checkpoints = 1.5\n")
    (project / "pyproject.toml").write_text("[tool.spark.checkpoint]\ndurablity = 'sync'\n")

    lines = complaint().splitlines()

    assert len(lines) == 3
    assert any(line.startswith("pyproject.toml:[tool.spark.checkpoint] durablity: ") for line in lines)


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("spark.toml", "[checkpont]\nurl = 'memory://'", "spark.toml: there is no table [checkpont]; "),
        ("spark.toml", "checkpoint = 5", "spark.toml:[checkpoint] must be a table."),
        ("spark.toml", "[checkpoint\n", "spark.toml can't be read: "),
        ("spark.toml", "a = '\udcff'", "spark.toml can't be read: "),
        ("pyproject.toml", "[tool.spark.checkpont]\nurl = 'memory://'", "pyproject.toml:[tool.spark] checkpont: there is no"),
        ("pyproject.toml", "[tool]\nspark = 5", "pyproject.toml:[tool.spark] must be a table."),
    ],
)  # fmt: skip
def test_a_file_that_does_not_say_what_it_seems_to_is_named(
    project: Path, file: str, content: str, expected: str
) -> None:
    (project / file).write_text(content, errors="surrogateescape")

    assert complaint().startswith(expected)


def test_a_foreign_table_of_the_same_tool_is_left_alone(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.spark.submit]\nmaster = 'local'\n")

    assert CheckpointConfig.load() == CheckpointConfig()


def test_an_argument_with_a_wrong_name_is_refused(project: Path) -> None:
    assert complaint(durabilty="sync") == (
        "CheckpointConfig.load(durabilty=…): there is no such setting. Did you mean 'durability'?"
    )


def test_a_store_that_nobody_provides_is_named_with_the_place_that_chose_it(project: Path) -> None:
    (project / "spark.toml").write_text("[checkpoint]\nurl = 'sqlit:///runs.db'\n")

    with pytest.raises(PluginNotFoundError, match=r"spark.toml:\[checkpoint\] url: .*Did you mean 'sqlite'"):
        CheckpointConfig.load()


@pytest.mark.parametrize(
    "settings",
    [
        'url = "nowhere://user:s3cret@host/db"',
        'url = "postgresql://user:s3cret@host/db"\nenabled = "yes"',
        'url = "postgresql://user:s3cret@host/db"\nbackend = "sql"',
        'url = "postgresql://user:s3cret@host/db"\noptions = {table_name = 5}',
        'backend = "file"\noptions = {directory = {password = "s3cret"}}',
        'backend = ["s3cret"]',
        'nothing = "s3cret"',
    ],
)
def test_no_secret_is_shown_by_an_error(project: Path, settings: str) -> None:
    (project / "spark.toml").write_text(f"[checkpoint]\n{settings}\n")

    with pytest.raises(Exception, match="checkpoint") as caught:
        CheckpointConfig.load()

    shown, error = "", caught.value
    while error is not None:
        shown += str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)  # type: ignore[assignment]
    assert "s3cret" not in shown


def test_no_secret_is_shown_by_a_configuration(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "postgresql://user:s3cret@host/db")

    config = CheckpointConfig.load()

    assert config.backend == "postgresql://user:s3cret@host/db"
    assert "postgresql://user:***@host/db" in repr(config)
    assert "s3cret" not in repr(config) + str(config.sources)


def test_a_graph_without_a_configuration_reads_none(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's program begins to write somewhere because of a variable that it does not know of."""
    monkeypatch.setenv(URL, "sqlite:///runs.db")

    assert Graph(start=ExitNode()).checkpoint_backend is None
    assert isinstance(
        Graph(start=ExitNode(), checkpoint_config=CheckpointConfig()).checkpoint_backend, InMemoryCheckpointBackend
    )


def test_pydantic_is_imported_by_load_alone(project: Path) -> None:
    program = (
        "import sys, spark.graphs, spark.graphs.checkpoint as c; c.CheckpointConfig(); "
        "before = 'pydantic' in sys.modules; c.CheckpointConfig.load(); "
        "print(before, 'pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, env=dict(os.environ), capture_output=True, text=True, check=True
    )

    assert done.stdout == "False True\n"
