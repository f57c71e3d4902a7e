"""A PredictRequest against the signature that it names: checked, then arrays by input name. And the way back.

Statuses are those of TensorFlow Serving (read in its predict_util.cc): an unknown signature is FAILED_PRECONDITION,
everything that is wrong with inputs and outputs is INVALID_ARGUMENT. On top come the limits of components/contract.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from nextclick.components import contract
from nextclick.serving import protos, tensors
from nextclick.serving.failures import RequestFailure, invalid

Array = np.ndarray[Any, Any]

# Inputs whose second dimension counts items, and how many they may be.
_MOST_ITEMS = {
    contract.INPUT_ITEM_IDS: contract.MAX_REQUEST_ITEMS,
    contract.INPUT_ITEM_INDICES: contract.MAX_REQUEST_ITEMS,
    contract.INPUT_EXCLUDE: contract.MAX_LIST_ITEMS,
    contract.INPUT_ALLOW: contract.MAX_LIST_ITEMS,
    contract.INPUT_CANDIDATES: contract.MAX_CANDIDATES,
}


@dataclasses.dataclass(frozen=True)
class Call:
    """One run of a signature: arrays by input name, and the names of the outputs that are wanted."""

    signature: str
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]

    @property
    def rows(self) -> int | None:
        """The 0th dimension that all inputs share, or None where they do not."""
        sizes = {array.shape[0] if array.ndim else None for array in self.inputs.values()}
        return sizes.pop() if len(sizes) == 1 else None


def signature_name(request: Any) -> str:
    """The signature that a request names; an empty name means `serving_default`."""
    return request.model_spec.signature_name or contract.SIGNATURE_SERVING


def read(request: Any, signatures: Mapping[str, Any]) -> Call:
    """The call that a PredictRequest asks for. Raises RequestFailure where it does not fit its signature."""
    name = signature_name(request)
    if name not in signatures:
        raise RequestFailure(
            grpc.StatusCode.FAILED_PRECONDITION,
            f'Serving signature key "{name}" not found. This model has: {", ".join(sorted(signatures))}.',
        )
    signature = signatures[name]
    inputs = {alias: _input(alias, tensor, info) for alias, tensor, info in _pairs(request, signature)}
    return Call(name, inputs, _outputs(request.output_filter, signature))


def write(call: Call, results: Sequence[Array], model: str, version: int) -> Any:
    """PredictResponse with the results of a call, in the order of its outputs."""
    response = protos.predict_pb2.PredictResponse()
    response.model_spec.name = model
    response.model_spec.version.value = version
    response.model_spec.signature_name = call.signature
    for alias, array in zip(call.outputs, results, strict=True):
        response.outputs[alias].CopyFrom(tensors.to_proto(array))
    return response


def _pairs(request: Any, signature: Any) -> list[tuple[str, Any, Any]]:
    """(name, tensor, TensorInfo) of each input; what a request leaves out comes from the signature's defaults."""
    expected, received = set(signature.inputs), set(request.inputs)
    optional = set(signature.defaults) if "defaults" in signature.DESCRIPTOR.fields_by_name else set()
    extra, missing = sorted(received - expected), sorted(expected - received - optional)
    if extra or missing:
        raise invalid(
            f"input names do not match the signature's: sent extra: {{{','.join(extra)}}}, "
            f"missing but required: {{{','.join(missing)}}}, expected: {{{','.join(sorted(expected))}}}."
        )
    return [
        (alias, request.inputs[alias] if alias in received else signature.defaults[alias], signature.inputs[alias])
        for alias in sorted(expected)
    ]


def _input(alias: str, tensor: Any, info: Any) -> Array:
    if tensor.dtype != info.dtype:
        raise invalid(
            f"input {alias} must be {tensors.type_name(info.dtype)}, received {tensors.type_name(tensor.dtype)}."
        )
    try:
        shape = tensors.shape_of(tensor)
        _check_shape(alias, shape, info.tensor_shape)
        _check_limits(alias, shape)
        array = tensors.to_array(tensor)
    except RequestFailure as failure:
        raise (
            failure if failure.message.startswith("input ") else invalid(f"input {alias}: {failure.message}")
        ) from None
    is_text = array.dtype == object and alias in _MOST_ITEMS
    if is_text and array.size and max(map(len, array.flat)) > contract.MAX_ITEM_ID_BYTES:
        raise invalid(f"input {alias} holds an id of more than {contract.MAX_ITEM_ID_BYTES} bytes.")
    return array


def _check_shape(alias: str, shape: tuple[int, ...], expected: Any) -> None:
    if expected.unknown_rank:
        return
    wanted = [dim.size for dim in expected.dim]
    fits = len(wanted) == len(shape) and all(want in (-1, size) for want, size in zip(wanted, shape, strict=True))
    if not fits:
        raise invalid(f"input {alias} must have shape {wanted} (-1: any size), received {list(shape)}.")


def _check_limits(alias: str, shape: tuple[int, ...]) -> None:
    if shape and shape[0] > contract.MAX_REQUEST_BATCH:
        raise invalid(f"input {alias} has {shape[0]} rows, at most {contract.MAX_REQUEST_BATCH} are allowed.")
    if len(shape) > 1 and shape[1] > (most := _MOST_ITEMS.get(alias, shape[1])):
        raise invalid(f"input {alias} has {shape[1]} items a row, at most {most} are allowed.")


def _outputs(wanted: Sequence[str], signature: Any) -> tuple[str, ...]:
    for alias in wanted:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias}. "
                f"Outputs expected to be in the set {{{','.join(sorted(signature.outputs))}}}."
            )
    if len(set(wanted)) != len(wanted):
        raise invalid(f"duplicate output tensor alias in {list(wanted)}.")
    return tuple(wanted) or tuple(sorted(signature.outputs))
