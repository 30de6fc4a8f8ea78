"""What every bundle of types promises, of PyTorch; where it is not installed, ``make test-torch`` installs and runs it."""

from __future__ import annotations

from typing import Any

import pytest

from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.storage import RecordCodec
from spark.graphs.values.snapshots import snapshot
from spark_testing import TypesConformance
from spark_types_arrays.plugin import spark_types
from tests.plugins.types_arrays.exact import is_same_tensor

torch: Any = pytest.importorskip("torch", reason="PyTorch takes gigabytes; make test-torch installs it for these tests")


class TestTorch(TypesConformance):
    spec = next(spec for spec in spark_types() if spec.name == "torch")

    def is_same(self, one: Any, other: Any) -> bool:
        return is_same_tensor(one, other)

    @pytest.fixture
    def values(self) -> list[Any]:
        learned = torch.ones(3, requires_grad=True)
        (learned * 2).sum().backward()
        return [
            torch.arange(5.0),
            torch.arange(5000.0),
            torch.tensor(3),
            torch.zeros(0, 4),
            torch.ones(2, 3, dtype=torch.bfloat16),
            torch.ones(3).to(torch.float8_e4m3fn),
            torch.tensor([True, False]),
            torch.tensor([1 + 2j]),
            torch.tensor([1 + 2j]).conj(),
            torch.ones(2, 3).t(),
            torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
            torch.arange(10)[::2],
            torch.ones(1).expand(3),
            torch.ones(2, requires_grad=True),
            learned,
            torch.nn.Parameter(torch.ones(2)),
            torch.nn.Parameter(torch.ones(2), requires_grad=False),
            torch.float16,
            torch.Size([1, 2]),
        ]

    @pytest.fixture
    def refused(self) -> list[Any]:
        return [
            torch.ones(2).to_sparse(),
            torch.ones(3, requires_grad=True) * 2,
            torch.ones(2, device="meta"),
        ]


def test_a_tensor_that_comes_back_can_be_changed_and_keeps_the_order_of_its_memory() -> None:
    codec = RecordCodec()
    tensor = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)

    back = TreeReader().value(codec.tree(tensor))
    back += 1
    assert back.stride() == tensor.stride()
    assert torch.equal(back, tensor + 1)


def test_what_is_set_is_a_snapshot() -> None:
    tensor = torch.ones(3, requires_grad=True)
    RecordCodec().check(tensor, "value")
    kept = snapshot(tensor)
    with torch.no_grad():
        tensor += 1

    assert torch.equal(kept, torch.ones(3))
    assert kept.requires_grad
