"""Which bundle of an installed plugin saves a class that this program did not register? Asked once for each library.

Nothing that a store names is imported, only the bundles of installed plugins; each is found by the top-level module of a class
or of a stored name.
"""

from __future__ import annotations

import sys
from typing import Final

from spark.errors import DeserializationError, PluginError, PluginNotFoundError
from spark.graphs.checkpoint.serialization.classes.types import SavedType, Types
from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable, describe
from spark.graphs.values.loaded import class_name
from spark.graphs.values.snapshots import add_copier

_by_class: Final[dict[type, SavedType]] = {}
_by_name: Final[dict[str, SavedType]] = {}
_loaded: Final[set[type[Types]]] = set()


def known_class(cls: type) -> SavedType | None:
    """How to save instances of exactly this class, if a bundle that was loaded already says so."""
    return _by_class.get(cls)


def provided_class(cls: type) -> SavedType | None:
    """How to save instances of exactly this class, if an installed plugin says so; loads its bundle.

    :raises Unsaveable: one would, and is missing or can't be used.
    """
    try:
        _load_for(str(cls.__module__))
    except PluginNotFoundError as error:
        raise Unsaveable(f"its type {class_name(cls)} needs a plugin. {error}") from None
    except (PluginError, ImportError) as error:
        raise Unsaveable(f"its type {class_name(cls)} needs a plugin that can't be used: {error}") from error
    return _by_class.get(cls)


def provided_name(name: str) -> SavedType | None:
    """What stored data means by this name, if an installed plugin says so; loads its bundle.

    :raises DeserializationError: one would, and is missing or can't be used.
    """
    if name not in _by_name and ":" in name:
        try:
            _load_for(name.partition(":")[0])
        except PluginError as error:
            raise DeserializationError(f"The type {name!r} needs a plugin. {error}") from error
        except ImportError as error:
            raise DeserializationError(f"The type {name!r} needs a library that is not installed. {error}") from error
    return _by_name.get(name)


def _load_for(module: str) -> None:
    """Load the bundle for a library, if there is one.

    :raises PluginNotFoundError: one of our distributions has it, and is not installed.
    :raises PluginError: one is installed, and can't be used.
    :raises ImportError: the library is not installed.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("__main__", "__mp_main__"):
        return
    from spark.hooks.missing_plugin import extras  # most programs save nothing that needs a plugin
    from spark.hooks.registry import class_of

    claim = ("types of module", top)
    try:
        bundle = class_of(claim)
    except PluginNotFoundError:
        if claim in extras():
            raise
        return
    if bundle not in _loaded:
        _add(bundle())
        _loaded.add(bundle)


def _add(bundle: Types) -> None:
    try:
        types = list(bundle.types())
    except ImportError as error:
        wanted = bundle.install or error.name or "it"
        raise ImportError(f"{describe(error)}. To get it: pip install {wanted}.", name=error.name) from error
    for each in types:
        _by_class[each.cls] = _by_name[each.name] = each
        if each.copy is not None:
            add_copier(each.cls, each.copy)
