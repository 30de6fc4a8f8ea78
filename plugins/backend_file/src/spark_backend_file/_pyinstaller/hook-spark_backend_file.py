"""Read by PyInstaller where an app has this backend: it takes fsspec along, and every filesystem of it that is installed."""

from importlib.util import find_spec

from PyInstaller.utils.hooks import collect_entry_point

datas, hiddenimports = collect_entry_point("fsspec.specs")
if find_spec("fsspec") is not None:
    from fsspec.registry import known_implementations

    hiddenimports += ["fsspec", *(each["class"].rpartition(".")[0] for each in known_implementations.values())]
warn_on_missing_hiddenimports = False  # those that are not installed
