"""The JSON of TensorFlow Serving's REST API ↔ PredictRequest and PredictResponse.

    row format       {"instances": [row, ...]}            → {"predictions": [row, ...]}
    columnar format  {"inputs": tensor or {name: tensor}}  → {"outputs": tensor or {name: tensor}}

A row is a value, or an object of values by input name. Bytes that are no text are {"b64": "..."}.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nextclick.serving import protos, tensors
from nextclick.serving.calls import Array
from nextclick.serving.failures import invalid

_TYPES = protos.types_pb2
_ACCEPTED: dict[int, tuple[type, ...]] = {
    _TYPES.DT_FLOAT: (int, float),
    _TYPES.DT_DOUBLE: (int, float),
    _TYPES.DT_INT64: (int,),
    _TYPES.DT_INT32: (int,),
    _TYPES.DT_BOOL: (bool,),
}
_KINDS = {
    _TYPES.DT_FLOAT: np.float32,
    _TYPES.DT_DOUBLE: np.float64,
    _TYPES.DT_INT64: np.int64,
    _TYPES.DT_INT32: np.int32,
    _TYPES.DT_BOOL: np.bool_,
}


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a predict request. Raises RequestFailure where it is none, or asks in two formats."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise invalid("the body must be a JSON object with instances or inputs")
    if ("instances" in parsed) == ("inputs" in parsed):
        raise invalid("the body must have either instances or inputs")
    if not isinstance(parsed.get("signature_name", ""), str):
        raise invalid("signature_name must be a text")
    return parsed


def fill_inputs(request: Any, parsed: Mapping[str, Any], infos: Mapping[str, Any]) -> None:
    """Writes the tensors of a parsed body into a PredictRequest; `infos` are the signature's inputs."""
    columns = _rows(parsed["instances"], infos) if "instances" in parsed else _columns(parsed["inputs"], infos)
    for name, values in columns.items():
        if name not in infos:
            raise invalid(f"the signature has no input {name}; it has: {', '.join(sorted(infos))}")
        request.inputs[name].CopyFrom(_tensor(name, values, infos[name].dtype))


def body_of(response: Any, row_format: bool) -> bytes:
    """The JSON of a PredictResponse, in the format of its request."""
    arrays = {name: tensors.to_array(tensor) for name, tensor in sorted(response.outputs.items())}
    values = {name: _jsonable(name, array) for name, array in arrays.items()}
    if not row_format:
        return json.dumps({"outputs": next(iter(values.values())) if len(values) == 1 else values}).encode()
    if any(array.ndim == 0 for array in arrays.values()) or len({array.shape[0] for array in arrays.values()}) > 1:
        raise invalid("the outputs have no common 0th dimension: ask with inputs, not with instances")
    if len(values) == 1:
        return json.dumps({"predictions": next(iter(values.values()))}).encode()
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return json.dumps({"predictions": rows}).encode()


def _rows(instances: Any, infos: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(instances, list) or not instances:
        raise invalid("instances must be a list with at least one entry")
    if not all(_is_object(instance) for instance in instances):
        return {_only_name(infos): instances}
    names = instances[0].keys()
    if any(instance.keys() != names for instance in instances):
        raise invalid("all instances must have the same names")
    return {name: [instance[name] for instance in instances] for name in names}


def _columns(inputs: Any, infos: Mapping[str, Any]) -> dict[str, Any]:
    return inputs if _is_object(inputs) else {_only_name(infos): inputs}


def _only_name(infos: Mapping[str, Any]) -> str:
    if len(infos) != 1:
        raise invalid(f"the signature has several inputs, name them: {', '.join(sorted(infos))}")
    return next(iter(infos))


def _is_object(value: Any) -> bool:
    """Whether a JSON value is an object, and not bytes written as one."""
    return isinstance(value, dict) and set(value) != {"b64"}


def _tensor(name: str, values: Any, dtype: int) -> Any:
    shape: list[int] = []
    level = values
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    flat = list(_flat(name, values, shape))
    if dtype == _TYPES.DT_STRING:
        array: Array = np.empty(len(flat), dtype=object)
        array[:] = [_bytes(name, value) for value in flat]
    elif dtype in _ACCEPTED:
        for value in flat:
            if not isinstance(value, _ACCEPTED[dtype]) or (isinstance(value, bool) and dtype != _TYPES.DT_BOOL):
                raise invalid(f"input {name} takes {tensors.type_name(dtype)}, received {json.dumps(value)[:50]}")
        try:
            array = np.array(flat, dtype=_KINDS[dtype])
        except OverflowError:
            raise invalid(f"input {name} holds a number that is no {tensors.type_name(dtype)}") from None
    else:
        raise invalid(f"input {name} is {tensors.type_name(dtype)}, which REST does not take: use gRPC")
    return tensors.to_proto(array.reshape(shape))


def _flat(name: str, values: Any, shape: list[int]) -> Iterator[Any]:
    """The values of a nested list, row by row. Raises RequestFailure where it is ragged."""
    if not shape:
        if isinstance(values, list):
            raise invalid(f'input {name}: rows must have the same length: pad them at the right, item ids with ""')
        yield values
        return
    if not isinstance(values, list) or len(values) != shape[0]:
        raise invalid(f'input {name}: rows must have the same length: pad them at the right, item ids with ""')
    for value in values:
        yield from _flat(name, value, shape[1:])


def _bytes(name: str, value: Any) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and isinstance(value.get("b64"), str):
            return base64.b64decode(value["b64"], validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise invalid(f"input {name}: {error}") from error
    raise invalid(f"input {name} takes texts, received {json.dumps(value)[:50]}")


def _jsonable(name: str, array: Array) -> Any:
    if array.dtype != object:
        return array.astype(float).tolist() if array.dtype.kind == "f" else array.tolist()
    texts = np.empty(array.shape, dtype=object)
    for place, value in np.ndenumerate(array):
        texts[place] = _text(value, name.endswith("_bytes"))
    return texts.tolist()


def _text(value: bytes, is_binary: bool) -> Any:
    try:
        if not is_binary:
            return value.decode()
    except UnicodeDecodeError:
        pass
    return {"b64": base64.b64encode(value).decode()}
