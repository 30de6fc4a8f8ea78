"""``create=False``: to open what exists, or be told that nothing is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError, StoreNotFoundError
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, open_backend
from spark.graphs.checkpoint.storage import path_not_found, store_not_found
from spark.hooks import BackendSpec, hookimpl, register, unregister
from tests.support.minimal_backend import MinimalBackend


class Plain(MinimalBackend):
    """A backend of somebody who knows nothing of ``create``."""

    def __init__(self, *, format: str = "json") -> None:
        super().__init__(format=format)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Plain:
        return cls(**options)


class Knowing(MinimalBackend):
    @classmethod
    def from_url(cls, url: str, **options: Any) -> Knowing:
        return cls(**options)


class Plugin:
    @hookimpl
    def spark_backends(self) -> list[BackendSpec]:
        here = __name__
        return [
            BackendSpec(name=kind.lower(), target=f"{here}:{kind}", schemes=(kind.lower(),), api_version=1)
            for kind in ("Plain", "Knowing")
        ]


@pytest.fixture(autouse=True)
def registered() -> Any:
    import sys

    sys.modules.setdefault(__name__, sys.modules[Plain.__module__])
    register(Plugin(), name="opening")
    yield
    unregister("opening")


def test_a_backend_that_takes_it_is_told_and_another_is_opened_as_ever() -> None:
    assert open_backend("knowing://x", create=False).creates is False
    assert open_backend("knowing://x").creates is True
    assert isinstance(open_backend("plain://x?format=json", create=False), Plain)
    assert CheckpointManager("knowing://x", create=False).backend.creates is False


def test_a_store_in_memory_can_not_have_been_there_before() -> None:
    with pytest.raises(
        StoreNotFoundError, match=r"memory://: what is in memory ends with the process.*sqlite:///runs.db"
    ):
        open_backend("memory://", create=False)
    assert issubclass(StoreNotFoundError, BackendError)


def test_the_store_of_the_settings_is_opened_so_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPARK_CHECKPOINT_URL", "knowing://x")

    for create in (True, False):
        store = CheckpointConfig.load_backend(create=create)
        assert store is not None
        assert store.creates is create


def test_the_nearest_name_is_looked_for_where_the_path_ends(tmp_path: Path) -> None:
    (tmp_path / "orders" / "store").mkdir(parents=True)

    assert f"{tmp_path}/orders has no 'stroe'. Did you mean '{tmp_path}/orders/store'?" in str(
        path_not_found(f"{tmp_path}/orders/stroe")
    )
    assert f"{tmp_path} has no 'ordres'. Did you mean '{tmp_path}/orders'?" in str(
        path_not_found(f"{tmp_path}/ordres/store/deep")
    )
    assert "Did you mean" not in str(path_not_found(f"{tmp_path}/quite/another"))


def test_the_error_says_what_is_missing_what_is_near_and_what_to_do() -> None:
    error = store_not_found(
        "s3://bucket", "there is no such bucket", name="buckte", near=["bucket-a", "bucket"], cure="Make it."
    )

    assert str(error) == (
        "There is no store at s3://bucket: there is no such bucket. Did you mean 'bucket'? Check the URL. Make it."
    )
