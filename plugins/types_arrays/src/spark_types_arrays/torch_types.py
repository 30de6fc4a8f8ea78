"""PyTorch tensors on the CPU ↔ plain data. The bytes of a dense tensor are its own memory, not a copy of it."""

from __future__ import annotations

from math import prod
from typing import Any, Final

import torch

from spark.errors import SerializationError
from spark.graphs.checkpoint import SavedType

_DTYPES: Final[dict[str, torch.dtype]] = {
    name: dtype
    for name, dtype in vars(torch).items()
    if isinstance(dtype, torch.dtype) and str(dtype) == f"torch.{name}" and not name.startswith("q")
}


def _tensor_to_data(tensor: torch.Tensor) -> dict[str, Any]:
    """The dtype, the shape, the order of the dimensions in memory unless it is the usual one, and the bytes."""
    _refuse_others(tensor)
    values = tensor.detach().resolve_conj().resolve_neg()
    data: dict[str, Any] = {"dtype": _name_of(tensor.dtype), "shape": list(tensor.shape)}
    order = _order_of(values)
    if order is not None:
        data["order"], values = order, values.permute(order)
    data["bytes"] = _bytes_of(values.contiguous())
    if tensor.requires_grad:
        data["requires_grad"] = True
    return data if tensor.grad is None else data | {"grad": tensor.grad}


def _tensor_from_data(data: Any) -> torch.Tensor:
    """What ``_tensor_to_data`` was given, in the memory of the bytes; it can be changed."""
    dtype, shape, content, order = _DTYPES[data["dtype"]], data["shape"], data["bytes"], data.get("order")
    if type(shape) is not list or not {int}.issuperset(map(type, shape)) or min(shape, default=0) < 0:
        raise ValueError("its shape is no list of lengths")
    if type(content) is not memoryview or content.nbytes != prod(shape) * dtype.itemsize:
        raise ValueError(f"a tensor of {dtype} with the shape {shape} does not have so many bytes")
    if not content.nbytes:
        tensor = torch.empty(shape, dtype=dtype)
    elif order is None:
        tensor = torch.frombuffer(content, dtype=torch.uint8).view(dtype).view(shape)
    else:
        if sorted(order) != list(range(len(shape))):
            raise ValueError("its order is none of its dimensions")
        turned = torch.frombuffer(content, dtype=torch.uint8).view(dtype).view([shape[place] for place in order])
        tensor = turned.permute([order.index(place) for place in range(len(shape))])
    if "grad" in data:
        tensor.grad = data["grad"]
    return tensor.requires_grad_(data.get("requires_grad", False) is True)


def _parameter_from_data(data: Any) -> torch.nn.Parameter:
    tensor = _tensor_from_data({key: value for key, value in data.items() if key not in ("grad", "requires_grad")})
    parameter = torch.nn.Parameter(tensor, requires_grad=data.get("requires_grad", False) is True)
    if "grad" in data:
        parameter.grad = data["grad"]
    return parameter


def _refuse_others(tensor: torch.Tensor) -> None:
    if tensor.device.type != "cpu":
        raise SerializationError(
            f"it is a tensor on {tensor.device}, and only those on the CPU can be saved. Use tensor.cpu()."
        )
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise SerializationError("it is a sparse or quantized tensor. Use to_dense() or dequantize().")
    if tensor.is_nested or _name_of(tensor.dtype) not in _DTYPES:
        raise SerializationError(f"it is a tensor of a kind that can't be saved ({tensor.dtype}). Convert it first.")
    if not tensor.is_leaf:
        raise SerializationError("it is part of a computation, which can't be saved with it. Use tensor.detach().")
    if vars(tensor):
        raise SerializationError(f"it carries {', '.join(vars(tensor))} besides its elements. Keep them elsewhere.")


def _order_of(tensor: torch.Tensor) -> list[int] | None:
    """The dimensions from the outermost to the innermost in memory, where it is dense in another order than the usual one."""
    if tensor.is_contiguous() or 0 in tensor.shape:
        return None
    order = sorted(range(tensor.ndim), key=lambda place: (-tensor.stride(place), place))
    return order if tensor.permute(order).is_contiguous() else None


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    if not tensor.numel():
        return memoryview(b"")
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy())


def _copy_tensor(tensor: torch.Tensor) -> torch.Tensor:
    if type(tensor) is torch.Tensor and tensor.is_leaf and tensor.grad is None and not vars(tensor):
        return tensor.detach().clone(memory_format=torch.preserve_format).requires_grad_(tensor.requires_grad)
    return _deep_copy(tensor)


def _deep_copy(value: Any) -> Any:
    import copy

    return copy.deepcopy(value)


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _size_from_data(data: Any) -> torch.Size:
    if type(data) is not list or not {int}.issuperset(map(type, data)):
        raise ValueError("it is no size")
    return torch.Size(data)


def _same(value: Any) -> Any:
    return value


def _nbytes(tensor: Any) -> int:
    return int(tensor.nbytes)


TYPES: Final = [
    SavedType(torch.Tensor, "torch:Tensor", _tensor_to_data, _tensor_from_data, copy=_copy_tensor, nbytes=_nbytes),
    SavedType(
        torch.nn.Parameter,
        "torch:Parameter",
        _tensor_to_data,
        _parameter_from_data,
        copy=_deep_copy,
        nbytes=_nbytes,
    ),
    SavedType(torch.dtype, "torch:dtype", _name_of, lambda name: _DTYPES[name], copy=_same),
    SavedType(torch.Size, "torch:Size", list, _size_from_data, copy=_same),
]
"""What ``TorchTypes`` provides."""
