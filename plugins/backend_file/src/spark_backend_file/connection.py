"""The fsspec filesystem of one backend: made by the first call that needs it, one for each process, closed with it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, Final

from spark.errors import BackendError, SparkError
from spark.graphs.checkpoint.storage import renew_after_fork
from spark.hooks import redact, secrets_of, without_secrets
from spark_backend_file.threads import locked

_PACKAGES: Final = {
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "gcs": "gcsfs",
    "gs": "gcsfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
}
"""What a protocol needs beside fsspec. For the others fsspec says so itself."""
_ORDINARY: Final = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
"""What a filesystem answers, while its connection is sound."""
_SECONDS_TO_CLOSE: Final = 10


class Connection:
    """Hands out the filesystem behind a URL. Instances share nothing: neither connections nor listings.

    :param url: of a folder, as fsspec takes it, also a chain of several.
    :param options: what fsspec hands to the filesystem.
    :raises BackendError: fsspec, or the package of the filesystem, is not installed.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        self._options = options
        self._secrets = secrets_of(url, options)
        self.shown = redact(url if url.endswith("://") else url.rstrip("/"))
        """The URL without its secrets."""
        self.protocol = _protocols(url)[0]
        """The filesystem's name in fsspec."""
        for protocol in _protocols(url):
            _import_filesystem(protocol, shown=self.shown)
        self._own = _ProcessFilesystem()
        renew_after_fork(self)

    @contextmanager
    def filesystem(self) -> Iterator[tuple[Any, str]]:
        """The filesystem and the path of the folder in it; a synchronous one is lent to one thread at a time."""
        own = self._own
        filesystem, root = self._open(own)
        if filesystem.async_impl:
            yield filesystem, root
            return
        with locked(own.turn, "the connection"):
            try:
                # Whoever had the turn before may have lost the connection.
                yield self._open(own)
            except (SparkError, *_ORDINARY):
                raise
            except Exception:
                own.drop()
                raise

    def close(self) -> None:
        """Close what this process opened. Blocks."""
        self._own.drop()

    def after_fork(self) -> None:
        """In a child process: make a connection of its own, and leave that of the parent to the parent, unclosed."""
        self._inherited, self._own = self._own, _ProcessFilesystem()

    def cleaned(self, error: Exception) -> Exception:
        """The error itself; or, where a secret of this connection shows in it, one that says the rest."""
        return without_secrets(error, self._secrets)

    def _open(self, own: _ProcessFilesystem) -> tuple[Any, str]:
        with locked(own.opening, "the connection"):
            if own.opened is None:
                own.opened = self._opened()
            return own.opened

    def _opened(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        own = {name: {**self._options_of(name), "skip_instance_cache": True} for name in _protocols(self._url)}
        filesystem, root = url_to_fs(self._url, **{**self._options, **own})
        _forget_listings(filesystem)
        # fsspec gives "dir::file:///x" the path twice: as where it is, and as what is asked of it.
        return filesystem, "" if self._url.startswith("dir::") else root

    def _options_of(self, protocol: str) -> Mapping[str, Any]:
        options = self._options.get(protocol)
        return options if isinstance(options, Mapping) else {}


class _ProcessFilesystem:
    """The filesystem that one process has open, if it has."""

    def __init__(self) -> None:
        self.opened: tuple[Any, str] | None = None
        self.opening = Lock()
        self.turn = Lock()

    def drop(self) -> None:
        """Forget the filesystem, and end its connections: the next call makes a new one."""
        opened, self.opened = self.opened, None
        if opened is not None:
            _disconnect(opened[0])


def _protocols(url: str) -> list[str]:
    # As fsspec reads a chain: a link without "://" is the name of a filesystem that takes its path from the next one.
    return [link.partition("://")[0] for link in url.split("::")]


def _import_filesystem(protocol: str, *, shown: str) -> None:
    try:
        registry = importlib.import_module("fsspec.registry")
    except ImportError as error:
        raise BackendError(
            f"The file backend reaches {shown!r} through fsspec, which is not installed: pip install 'spark-graphs[fsspec]'"
        ) from error
    try:
        registry.get_filesystem_class(protocol)
    except ImportError as error:
        raise BackendError(_missing(protocol, shown=shown, reason=str(error))) from error
    except ValueError as error:
        raise BackendError(_missing(protocol, shown=shown, reason=f"fsspec knows no {protocol!r}")) from error


def _missing(protocol: str, *, shown: str, reason: str) -> str:
    package = _PACKAGES.get(protocol)
    cure = f"pip install {package}" if package else "Install the package that brings this filesystem, or check the URL."
    return f"The file backend can't reach {shown!r}: {reason}. {cure}"


def _forget_listings(filesystem: Any) -> None:
    """Switch caches of listings off, since other processes write too. Not every filesystem takes it as an option."""
    link: Any = filesystem
    while link is not None:
        if (cache := getattr(link, "dircache", None)) is not None:
            cache.use_listings_cache = False
        link = getattr(link, "fs", None)


def _disconnect(filesystem: Any) -> None:
    """End what a filesystem holds open; fsspec itself has no verb for it."""
    link: Any = filesystem
    while link is not None:
        with suppress(Exception):  # what is broken already can't be closed in order
            _close(link)
        link = getattr(link, "fs", None)


def _close(filesystem: Any) -> None:
    if hasattr(filesystem, "ftp") and hasattr(filesystem, "client"):
        transport = filesystem.client.get_transport()
        filesystem.client.close()
        transport.join(_SECONDS_TO_CLOSE)  # paramiko's thread, which ends a moment later
    if not filesystem.async_impl:
        return
    from fsspec.asyn import sync

    for name in ("_session", "service_client", "credential"):
        client = getattr(filesystem, name, None)
        if client is not None and hasattr(client, "close"):
            sync(filesystem.loop, client.close, timeout=_SECONDS_TO_CLOSE)
