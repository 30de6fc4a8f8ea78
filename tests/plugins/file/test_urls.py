"""Which directory and which URL mean which filesystem; what can't be reached says why, without showing a secret."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path

import pytest

from spark.errors import BackendError
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend, open_backend
from spark_backend_file import FileCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.remote_stores import QUICK, remove_from_memory
from tests.plugins.support.sftp_servers import PASSWORD, SftpServer


@pytest.mark.parametrize("scheme", ["file://", "local://", "fsspec+file://", "fsspec+local://"])
async def test_a_url_of_a_local_path_takes_the_durable_way(tmp_path: Path, scheme: str) -> None:
    """The files show it: only that one keeps deleted_up_to as a length, and the checkpoint's time at its file."""
    record = make_record("g", 1)
    async with FileCheckpointBackend(f"{scheme}{tmp_path}/a%20b") as backend:
        await backend.put(record)
        await backend.put(make_record("g", 2))
        await backend.delete("g", 2)

    assert backend.directory == f"{tmp_path}/a b"
    assert (tmp_path / "a b" / "g" / "floor").stat().st_size == 2
    assert (tmp_path / "a b" / "g" / "000000000001.ckpt").stat().st_mtime == record.header.timestamp.timestamp()


@pytest.mark.parametrize("url", ["file:///a", "local:///a", "local://localhost/a"])
def test_the_registry_opens_local_urls(url: str) -> None:
    assert open_backend(url).directory == "/a"


@pytest.mark.parametrize(
    ("directory", "below"),
    [
        ("~/ck", "ck"),
        (Path("~/ck"), "ck"),
        ("~", ""),
        ("file://~/ck", "ck"),
        ("file:///~/ck", "ck"),
        ("local://~/a%20b", "a b"),
        ("fsspec+file://~/ck", "ck"),
    ],
    ids=str,
)
async def test_a_tilde_means_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str | Path, below: str
) -> None:
    """A folder named "~" is found by nobody, and removed with a command that empties the home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    is_url = "://" in str(directory)
    backend = open_backend(str(directory)) if is_url else FileCheckpointBackend(directory)

    assert backend.directory == os.path.normpath(tmp_path / below)
    if is_url:
        assert FileCheckpointBackend(directory).directory == backend.directory


@pytest.mark.parametrize(
    ("directory", "folder"), [("./~/ck", "~/ck"), ("a/~", "a/~"), ("file:///%7E/ck", "/~/ck"), ("a~", "a~")]
)
def test_a_folder_named_with_a_tilde_can_be_named_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert FileCheckpointBackend(directory).directory == str(tmp_path / folder)


@pytest.mark.parametrize("directory", ["~nobody-of-this-name/ck", "file://~nobody-of-this-name/ck"])
def test_the_home_of_nobody_is_refused(directory: str) -> None:
    with pytest.raises(ValueError, match=r"there is no home '~nobody-of-this-name'. Write './~nobody-of-this-name/ck'"):
        FileCheckpointBackend(directory)


def test_a_tilde_in_a_settings_file_means_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)
    (tmp_path / "spark.toml").write_text('[checkpoint]\nbackend = "file"\n[checkpoint.options]\ndirectory = "~/ck"\n')

    backend = CheckpointConfig.load().backend

    assert isinstance(backend, FileCheckpointBackend)
    assert backend.directory == str(tmp_path / "ck")


@pytest.mark.parametrize(
    "settings",
    [
        '[checkpoint]\nbackend = "file"\n[checkpoint.options]\ndirectory = "ck"\ninline_io = false\n',
        '[checkpoint]\nurl = "file:///ck"\n[checkpoint.options]\ninline_io = false\n',
        '[checkpoint]\nurl = "file:///ck?inline_io=false"\n[checkpoint.options]\nlock_timeout = 1.0\n',
    ],
)
def test_a_settings_file_turns_inline_io_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)
    (tmp_path / "spark.toml").write_text(settings)

    backend = CheckpointConfig.load().backend

    assert isinstance(backend, FileCheckpointBackend)
    assert not backend.inline_io


def test_the_environment_turns_inline_io_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_CHECKPOINT_URL", f"file://{tmp_path}?inline_io=false")

    url = CheckpointConfig.load().backend

    assert isinstance(url, str)
    assert not open_backend(url).inline_io


@pytest.mark.parametrize("url", ["memory://urls", "sftp://127.0.0.1/x"])
def test_behind_fsspec_the_option_is_taken_and_no_part_of_the_path(url: str) -> None:
    backend = FileCheckpointBackend.from_url(f"{url}?inline_io=false")

    assert (backend.directory, backend.inline_io) == (url, False)


async def test_memory_is_the_cores_in_the_registry_and_fsspecs_as_a_directory() -> None:
    """Nothing can replace what the core brings."""
    async with (
        FileCheckpointBackend("memory://urls") as direct,
        open_backend("fsspec+memory://urls") as generic,
    ):
        await direct.put(make_record("g", 1))

        assert [info.sequence for info in (await generic.list()).infos] == [1]
    remove_from_memory("memory://urls")
    assert isinstance(open_backend("memory://"), InMemoryCheckpointBackend)


@pytest.mark.parametrize("scheme", ["sftp", "ssh", "fsspec+sftp"])
async def test_a_registry_url_reaches_a_server_with_options(
    sftp_server: SftpServer, tmp_path: Path, scheme: str
) -> None:
    """Making the backend connects to nothing: a constructor that waits for a server would block the event loop."""
    url = f"{scheme}://127.0.0.1:{sftp_server.port}{tmp_path}"
    options = {**QUICK, "username": "spark", "password": PASSWORD}
    before = sftp_server.connections()
    async with open_backend(url, storage_options=options) as backend:
        assert sftp_server.connections() == before
        await backend.put(make_record("g", 1))

    assert (tmp_path / "g" / "000000000001.ckpt").exists()


@pytest.mark.parametrize(
    "directory", ["s3://bucket/x", "s3a://bucket/x", "fsspec+s3://bucket/x", "dir::s3://bucket", "S3://b"]
)
@pytest.mark.parametrize("make", [FileCheckpointBackend, FileCheckpointBackend.from_url])
def test_s3_has_a_backend_of_its_own(directory: str, make: type[FileCheckpointBackend]) -> None:
    with pytest.raises(ValueError, match=r"pip install 'spark-graphs\[s3\]'.*s3://bucket/prefix"):
        make(directory)


def test_what_is_only_read_is_refused() -> None:
    with pytest.raises(ValueError, match="only read"):
        FileCheckpointBackend("https://example.org/store")


@pytest.mark.parametrize("directory", ["checkpoints", "/a", "file:///a", Path("a")])
def test_storage_options_need_a_url(directory: str | Path) -> None:
    """On a path they would be ignored in silence."""
    with pytest.raises(ValueError, match="Leave them out"):
        FileCheckpointBackend(directory, storage_options={})


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("gs://bucket/folder", "pip install gcsfs"),
        ("gcs://bucket/folder", "pip install gcsfs"),
        ("az://container/folder", "pip install adlfs"),
        ("abfss://container@account.dfs.core.windows.net/folder", "pip install adlfs"),
        ("fsspec+hf://datasets/a/b", "huggingface_hub"),
        ("dir::gs://bucket/folder", "pip install gcsfs"),
        ("fsspec+nonsense://folder", "fsspec knows no 'nonsense'"),
    ],
)
def test_a_missing_filesystem_names_its_package(url: str, cure: str) -> None:
    with pytest.raises(BackendError) as caught:
        open_backend(url) if not url.startswith("dir") else FileCheckpointBackend(url)

    assert cure in str(caught.value)
    assert caught.value.__cause__ is not None


# errors


async def test_a_filesystem_that_can_not_be_written_to_says_so(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "store.zip", "w") as archive:
        archive.writestr("README", "mine")
    async with FileCheckpointBackend(f"zip::file://{tmp_path}/store.zip") as backend:
        with pytest.raises(BackendError, match=r"could not save checkpoint 1 of graph 'g' in zip::file://.*intact"):
            await backend.put(make_record())


async def test_a_server_that_does_not_answer_is_an_error_of_the_first_call(unused_tcp_port: int) -> None:
    async with FileCheckpointBackend(
        f"sftp://u:secret@127.0.0.1:{unused_tcp_port}/x", storage_options=QUICK
    ) as backend:
        with pytest.raises(
            BackendError, match=r"could not find the latest checkpoint of graph 'g' in sftp://u:\*\*\*@"
        ):
            await backend.latest("g")


async def test_a_folder_that_can_not_be_made_is_reported(sftp_server: SftpServer) -> None:
    async with FileCheckpointBackend(sftp_server.url(Path("/proc/spark")), storage_options=QUICK) as backend:
        with pytest.raises(BackendError, match="Checkpoints saved earlier are intact"):
            await backend.put(make_record())


@pytest.mark.parametrize("where", ["url", "storage_options"])
async def test_a_password_shows_nowhere(sftp_server: SftpServer, caplog: pytest.LogCaptureFixture, where: str) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "wrong-horse-battery"
    options = {**QUICK, **({"username": "spark", "password": secret} if where == "storage_options" else {})}
    url = sftp_server.url(Path("/x"), password=secret) if where == "url" else f"sftp://127.0.0.1:{sftp_server.port}/x"
    async with FileCheckpointBackend(url, storage_options=options) as backend:
        with pytest.raises(BackendError) as caught:
            await backend.put(make_record())

    shown = [repr(backend), backend.directory, *traceback.format_exception(caught.value), caplog.text]
    assert "Authentication failed" in str(caught.value)
    assert [text for text in shown if secret in text] == []


async def test_a_secret_in_the_filesystems_own_words_is_taken_out(sftp_server: SftpServer) -> None:
    """Here the server's address repeats it; the cause that is chained must not show it either."""
    url = f"sftp://127.0.0.1:{sftp_server.port}/x"
    secret = "token-of-mine"
    async with FileCheckpointBackend(url, storage_options={"host_key_policy": secret, "auth_token": secret}) as backend:
        with pytest.raises(BackendError) as caught:
            await backend.list()

    shown = "".join(traceback.format_exception(caught.value))
    assert secret not in shown
    assert "Unknown host_key_policy '***'" in str(caught.value)
