"""What tasks and actors ask for of one machine, and whether any machine of the cluster has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NAMES: Final = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
"""Options, and what Ray calls these resources."""


def lacking(options: Mapping[str, Any]) -> str:
    """What is asked for of one machine, if none of the cluster has all of it now; ``""`` if one has.

    :param options: as in ``ray.remote``.
    """
    import ray

    wanted = {name: options[option] for option, name in _NAMES.items() if options.get(option)}
    wanted.update(options.get("resources") or {})
    if accelerator := options.get("accelerator_type"):
        wanted[f"accelerator_type:{accelerator}"] = 0.001  # as Ray itself does
    machines = [each["Resources"] for each in ray.nodes() if each["Alive"]]  # type: ignore[no-untyped-call]
    if any(all(has.get(name, 0) >= amount for name, amount in wanted.items()) for has in machines):
        return ""
    return ", ".join(f"{name}: {amount:g}" for name, amount in wanted.items())
