"""TensorProto ↔ numpy, as TensorFlow reads and writes them, without TensorFlow.

A TensorProto holds its values in a typed list or as raw bytes (`tensor_content`). A list shorter than the shape asks
for is filled up with its last value, or with zeros where it is empty; a longer one is cut.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nextclick.serving import protos
from nextclick.serving.failures import invalid

# Values that one tensor of a request may hold: refused before memory is taken for them.
MAX_ELEMENTS = 2 * 2**20

_TYPES = protos.types_pb2
# dtype → list of TensorProto that holds its values, numpy's name of it
_LISTS: dict[int, tuple[str, Any]] = {
    _TYPES.DT_STRING: ("string_val", object),
    _TYPES.DT_FLOAT: ("float_val", np.float32),
    _TYPES.DT_DOUBLE: ("double_val", np.float64),
    _TYPES.DT_INT64: ("int64_val", np.int64),
    _TYPES.DT_INT32: ("int_val", np.int32),
    _TYPES.DT_INT16: ("int_val", np.int16),
    _TYPES.DT_INT8: ("int_val", np.int8),
    _TYPES.DT_UINT8: ("int_val", np.uint8),
    _TYPES.DT_BOOL: ("bool_val", np.bool_),
}
_DTYPES = {np.dtype(kind): number for number, (_, kind) in _LISTS.items()}


def type_name(number: int) -> str:
    """`type_name(7)` is "string"."""
    name: str = _TYPES.DataType.Name(number) if number in _TYPES.DataType.values() else f"type {number}"
    return name.removeprefix("DT_").lower()


def shape_of(proto: Any) -> tuple[int, ...]:
    """The shape of a request's tensor. Raises RequestFailure on an unknown rank, a negative or a huge one."""
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid("a tensor of a request must have a known shape without negative dimensions")
    if math.prod(shape) > MAX_ELEMENTS:
        raise invalid(f"a tensor of shape {list(shape)} is too large: at most {MAX_ELEMENTS} values are allowed")
    return shape


def to_array(proto: Any) -> np.ndarray[Any, Any]:
    """The tensor as an array; strings as objects of type bytes. Raises RequestFailure where it is malformed."""
    if proto.dtype not in _LISTS:
        raise invalid(f"tensors of dtype {type_name(proto.dtype)} are not supported here")
    shape = shape_of(proto)
    field, kind = _LISTS[proto.dtype]
    count = math.prod(shape)
    if proto.tensor_content and kind is not object:
        expected = count * np.dtype(kind).itemsize
        if len(proto.tensor_content) != expected:
            raise invalid(f"tensor_content has {len(proto.tensor_content)} bytes, shape {list(shape)} needs {expected}")
        return np.frombuffer(proto.tensor_content, dtype=kind).reshape(shape)
    if proto.tensor_content:
        raise invalid("string tensors are read from string_val, not from tensor_content")
    values = list(getattr(proto, field)[:count])
    if len(values) < count:
        last = values[-1] if values else (b"" if kind is object else 0)
        values += [last] * (count - len(values))
    array: np.ndarray[Any, Any] = np.empty(count, dtype=kind)
    array[:] = values
    return array.reshape(shape)


def to_proto(array: np.ndarray[Any, Any]) -> Any:
    """TensorProto of an array, values in the typed list, as TensorFlow Serving answers by default."""
    number = _DTYPES.get(array.dtype)
    if number is None:
        raise TypeError(f"no TensorProto for arrays of dtype {array.dtype}")
    proto = protos.tensor_pb2.TensorProto(dtype=number)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _LISTS[number][0]).extend(array.ravel().tolist())
    return proto
