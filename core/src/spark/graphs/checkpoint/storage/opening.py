"""From a URL or a name to a backend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from spark.errors import PluginNotFoundError
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.url_options import split_options

_SCHEME: Final = r"([A-Za-z][A-Za-z0-9+.-]*):"


def open_backend(url_or_name: str, *, create: bool = True, **options: Any) -> CheckpointBackend:
    """The backend that a URL describes, or a new one of the named class; the options go to its constructor.

    The query of any backend's URL may have the options that all backends have, as in ``sqlite:///runs.db?format=msgpack``; the
    same option as an argument wins.

    :param create: False, for reading only: if there is no store, none is created, and the first call, or this one, raises
        ``StoreNotFoundError``. Third-party backends without this option are opened as usual.
    :raises PluginError: as ``backend_class`` does.
    :raises StoreNotFoundError: it can't have been made before, as in memory, and was not to be made now.
    :raises ValueError: the URL is not one of this backend's, or its name alone does not say where checkpoints go.
    """
    backend = backend_class(url_or_name)
    if not create:
        options |= without_creating(backend)
    try:
        if not _scheme_of(url_or_name):
            return _named(url_or_name, backend, options)
        url, in_url = split_options(url_or_name)
        return backend.from_url(url, **in_url | options)
    except Exception as error:
        shown = _without_secrets(error, url_or_name, options)
        if shown is error:
            raise
        raise shown from None  # whose text shows a secret


def backend_class(url_or_name: str) -> type[CheckpointBackend]:
    """The class of the backend that this URL is meant for, or that has this name.

    :raises PluginNotFoundError: no installed plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    from spark.hooks.registry import class_of  # not needed by those who make a backend themselves

    scheme = _scheme_of(url_or_name)
    if scheme:
        # postgresql+asyncpg: whoever speaks postgresql knows what to do with the driver.
        claims = ("URL scheme", scheme), ("URL scheme", scheme.partition("+")[0])
        return class_of(*claims, base=CheckpointBackend, asked=url_or_name)  # type: ignore[type-abstract]
    _refuse_path(url_or_name)
    return class_of(("backend", url_or_name), ("URL scheme", url_or_name), base=CheckpointBackend, asked=url_or_name)  # type: ignore[type-abstract]


def without_creating(backend: type[CheckpointBackend]) -> dict[str, bool]:
    """The option that keeps a backend from making a store, if it takes it."""
    from spark.hooks.options import parameters  # not needed by those who make stores

    return {"create": False} if "create" in parameters(backend) else {}


def _named(name: str, backend: type[CheckpointBackend], options: Mapping[str, Any]) -> CheckpointBackend:
    from spark.hooks.options import parameters  # not needed by those who make a backend themselves

    known = parameters(backend).items()
    missing = [option for option, each in known if each.default is each.empty and option not in options]
    if missing:
        raise ValueError(
            f"The backend {name!r} needs {', '.join(missing)}. Give its URL, or these: in a file under "
            f"[checkpoint.options], in Python to {backend.__name__}(…)."
        )
    return backend(**options)


def _without_secrets(error: Exception, url: str, options: Mapping[str, Any]) -> Exception:
    """The error itself, or one that says the same without the secrets of the URL and the options, which it shows."""
    from spark.hooks.choices import secrets_in
    from spark.hooks.redaction import secrets_of, without_secrets

    shown = without_secrets(error, {*secrets_of(url, {}), *secrets_in(options)}, said=str(error))
    return ValueError(str(shown)) if shown is not error and isinstance(error, ValueError) else shown


def _scheme_of(url_or_name: str) -> str:
    match = re.match(_SCHEME, url_or_name)
    return match[1].lower() if match else ""


def _refuse_path(name: str) -> None:
    if set("/\\") & set(name):
        from spark.hooks.redaction import redact

        raise PluginNotFoundError(
            f"{redact(name)!r} is neither a URL nor the name of a backend. Give a folder as FileCheckpointBackend(directory=…), "
            "or as a URL: file:///absolute/path, file://~/path."
        )
