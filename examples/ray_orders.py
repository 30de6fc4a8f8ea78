"""Orders as durable runs on a Ray cluster: each is charged and shipped, wherever Ray finds room, and whatever dies meanwhile.

    SPARK_CHECKPOINT_URL=sqlite:////tmp/orders.db python examples/ray_orders.py --orders 20

It connects to the cluster of ``RAY_ADDRESS``, or starts one for this machine alone. Kill it, and start it again: it submits what
is missing, and waits for the rest. ``examples/kuberay.yaml`` runs it in Kubernetes.
"""

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

TARGET = "orders:build"


async def submit_all(orders: int) -> None:
    """Submit what has not been submitted, wait, and print what became of the orders."""
    from spark_executor_ray import ray_runs

    ids = [f"order-{number}" for number in range(1, orders + 1)]
    await ray_runs.start(TARGET, num_cpus=0.25, runtime_env=environment())
    await asyncio.gather(*(ray_runs.submit(TARGET, graph_id=id, inputs={"order": n}) for n, id in enumerate(ids, 1)))
    for id, run in (await ray_runs.wait(ids)).items():
        print(id, run.status, await ray_runs.result(id) if run.status == "completed" else run.error)


def environment() -> dict[str, Any]:
    """So that Ray's workers find ``orders``; in an image that has it, this is not needed."""
    return {"env_vars": {"PYTHONPATH": str(Path(__file__).parent.resolve())}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=20)
    options = parser.parse_args()
    address = os.environ.get("RAY_ADDRESS", "local")
    if address == "local":  # Ray reads these when it is imported
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # it listens on the network otherwise
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # its workers repeat `uv run` otherwise
    import ray

    ray.init(address=address, log_to_driver=False)
    asyncio.run(submit_all(options.orders))


if __name__ == "__main__":
    main()
