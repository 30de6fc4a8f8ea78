"""A format that runs code is used only where somebody names it, whatever its plugin says or forgets to say."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from spark.errors import DeserializationError, PluginBrokenError, SparkError
from spark.graphs.checkpoint import CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record, RecordCodec, format_class
from tests.plugins.support.command_line import spark, with_store
from tests.support.sites import Site

PLUGIN = """
    from spark.hooks import FormatSpec, hookimpl

    @hookimpl
    def spark_formats():
        return [FormatSpec(name="objects", target="their_format:TheirFormat"{spec})]
"""

FORMAT = """
    import pickle
    from spark.graphs.checkpoint.storage import Format

    class TheirFormat(Format):
        name = "{name}"
        suffix = "objects"
        takes_objects = True
        {flag}

        def dumps(self, tree):
            return pickle.dumps(tree)

        def loads(self, data):
            return pickle.loads(data)
"""

SAYINGS = {
    "spec and class say nothing": ("", ""),
    "the class forgets": (", safe_to_load=False", ""),
    "the spec forgets": ("", "safe_to_load = False"),
    "the class forgets, and the spec is wrong": (", safe_to_load=True", ""),
    "the spec contradicts the class": (", safe_to_load=False", "safe_to_load = True"),
    "the class is vague": (", safe_to_load=True", "safe_to_load = 1"),
}


class Exploit:
    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Exploit, "ran", True)


def install(site: Site, *, spec: str = "", flag: str = "", name: str = "objects") -> None:
    site.install("fake-objects", PLUGIN.format(spec=spec), their_format=FORMAT.format(flag=flag, name=name))


def exploit() -> Record:
    """A record that runs code when it is unpickled."""
    checkpoint = GraphCheckpoint(checkpoint_id="evil", graph_id="g", timestamp=datetime(2024, 1, 1, tzinfo=UTC))
    record = RecordCodec().encode(checkpoint, sequence=1, manual=True, nonce="n")
    payload = pickle.dumps(Exploit())
    header = replace(record.header, format="objects", size=len(payload), raw_size=len(payload), checksum="")
    return Record(replace(header, checksum=f"sha256:{sha256(header.canonical() + payload).hexdigest()}"), payload)


@pytest.mark.parametrize(("spec", "flag"), SAYINGS.values(), ids=SAYINGS)
@pytest.mark.parametrize("look", ["open", "references", "inline_blobs"])
def test_a_record_in_it_is_never_loaded_unasked(site: Site, spec: str, flag: str, look: str) -> None:
    install(site, spec=spec, flag=flag)
    Exploit.ran = False
    looks: dict[str, Callable[[Record], Any]] = {
        "open": RecordCodec().decode,
        "references": RecordCodec().references,
        "inline_blobs": lambda record: RecordCodec().inline_blobs(record, {}),
    }

    try:
        looks[look](exploit())
    except SparkError:
        refused = True
    else:
        refused = False

    assert not Exploit.ran
    assert refused or look == "references"


async def test_no_manager_loads_it_unasked(site: Site) -> None:
    install(site, spec=", safe_to_load=False")
    Exploit.ran = False
    store = InMemoryCheckpointBackend()
    await store.put(exploit())
    manager = CheckpointManager(store)

    with pytest.raises(DeserializationError, match="format='objects'"):
        await manager.load_checkpoint("evil")
    await manager.verify()

    assert not Exploit.ran


def test_no_subcommand_loads_it_unasked(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site)
    Exploit.ran = False
    monkeypatch.delenv("SPARK_DISABLE_PLUGINS")
    url, other = f"file://{tmp_path}/store", f"file://{tmp_path}/other"
    with_store(url, lambda store: store.put(exploit()))

    for command in (
        ["checkpoints", "show", "evil"],
        ["checkpoints", "diff", "evil", "evil"],
        ["checkpoints", "verify"],
        ["checkpoints", "copy", "--to", other],
        ["checkpoints", "export", f"{tmp_path}/records"],
        ["checkpoints", "list"],
        ["doctor"],
    ):
        assert spark(*command, "--url", url).code in (0, 1)

    assert not Exploit.ran


@pytest.mark.parametrize(
    "saying", [each for each in SAYINGS if "forgets," in each or "contradicts" in each or "vague" in each]
)
def test_a_format_whose_spec_and_class_disagree_is_broken_and_named(site: Site, saying: str) -> None:
    spec, flag = SAYINGS[saying]
    install(site, spec=spec, flag=flag)

    with pytest.raises(PluginBrokenError, match=r"'objects' of the plugin 'objects' of fake-objects.*safe_to_load"):
        format_class("objects")


def test_a_format_that_calls_itself_something_else_is_broken_and_named(site: Site) -> None:
    """Its records would name a format that somebody else provides."""
    install(site, name="json")

    with pytest.raises(PluginBrokenError, match=r"fake-objects 1.0 can't be used: .* has name = 'json'"):
        format_class("objects")


def test_a_format_that_is_named_is_used(site: Site) -> None:
    install(site)

    assert RecordCodec("objects").format.name == "objects"
