"""What the client says and hears: sessions → PredictRequest, PredictResponse → answers. No channel, no clock.

A request holds the sessions' newest items, every row padded at the right with "" to one length. That length is the
model's look-back: TensorFlow Serving only batches requests whose rows are equally long.
"""

from __future__ import annotations

import array
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from nextclick.components import contract
from nextclick.pipeline.errors import DataError, ServingError
from nextclick.serving import protos

DEFAULT_TOP_K = 20
# What TensorFlow Serving calls the one kind of metadata that it has.
SIGNATURE_METADATA = "signature_def"


@dataclasses.dataclass(frozen=True)
class Answer:
    """The recommended items of one session, best first, with their scores and the version of the model."""

    items: tuple[str, ...]
    scores: tuple[float, ...]
    model_version: int


@dataclasses.dataclass(frozen=True)
class Target:
    """Which model is asked: its name, and a version, a label or (neither given) the newest version."""

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        """Raises DataError on an empty name, or on version and label together."""
        if not self.model:
            raise DataError("the model has no name: give the name that it is served under, such as nextclick")
        if self.version is not None and self.label is not None:
            raise DataError(f"model {self.model}: give a version or a label, not both")

    def fill(self, spec: Any) -> None:
        """Writes the target into a ModelSpec message."""
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """What a model's metadata tell; None where they do not.

    Attributes:
        version: that told it.
        lookback: newest items of a session that the model looks at: the static width of what `encode` returns, the
            signature that shows a session as the model sees it.
        top_k: length of the lists that `serving_default` answers.
        signatures: names of all.
    """

    version: int = 0
    lookback: int | None = None
    top_k: int | None = None
    signatures: frozenset[str] = frozenset()


def check_limits(sessions: Sequence[Sequence[str]]) -> None:
    """Raises DataError where a request's sessions would be beyond the limits of components/contract.py."""
    if not 1 <= len(sessions) <= contract.MAX_REQUEST_BATCH:
        raise DataError(
            f"a request holds 1 to {contract.MAX_REQUEST_BATCH} sessions, received {len(sessions)}: send them in parts"
        )
    for row, session in enumerate(sessions):
        if isinstance(session, (str, bytes)):
            raise DataError(f"session {row} is one text, not a list of item ids: write [{session!r}]")
        if len(session) > contract.MAX_REQUEST_ITEMS:
            raise DataError(
                f"session {row} has {len(session)} items, at most {contract.MAX_REQUEST_ITEMS} are allowed: "
                "send the newest ones"
            )
        for item in session:
            check_item(item, f"session {row}")


def predict_request(
    sessions: Sequence[Sequence[str]],
    target: Target,
    length: int,
    signature: str = contract.SIGNATURE_SERVING,
    lists: Mapping[str, Sequence[str]] | None = None,
) -> Any:
    """PredictRequest for a signature: item_ids string [sessions, length], each row its newest `length` items.

    Args:
        sessions: item ids, oldest first.
        target: which model.
        length: of a row.
        signature: that is asked.
        lists: item ids by the name of a further input, the same for every session; padded to one of few widths, since
            rows are only batched with rows of their width.
    """
    request = protos.predict_pb2.PredictRequest()
    target.fill(request.model_spec)
    request.model_spec.signature_name = signature
    _fill_tensor(request.inputs[contract.INPUT_ITEM_IDS], [session[-length:] for session in sessions], length)
    for name, items in (lists or {}).items():
        most = contract.MAX_CANDIDATES if name == contract.INPUT_CANDIDATES else contract.MAX_LIST_ITEMS
        width = min(most, next(width for width in contract.LIST_WIDTHS if width >= len(items)))
        _fill_tensor(request.inputs[name], [items] * len(sessions), width)
    return request


def metadata_request(target: Target) -> Any:
    """GetModelMetadataRequest for the signatures of a model."""
    request = protos.get_model_metadata_pb2.GetModelMetadataRequest()
    target.fill(request.model_spec)
    request.metadata_field.append(SIGNATURE_METADATA)
    return request


def status_request(target: Target) -> Any:
    """GetModelStatusRequest for a model."""
    request = protos.get_model_status_pb2.GetModelStatusRequest()
    target.fill(request.model_spec)
    return request


def model_facts(metadata: Any) -> ModelFacts:
    """What a GetModelMetadataResponse tells of a model."""
    version, signatures = metadata.model_spec.version.value, protos.get_model_metadata_pb2.SignatureDefMap()
    if not metadata.metadata[SIGNATURE_METADATA].Unpack(signatures):
        return ModelFacts(version)
    return ModelFacts(
        version,
        lookback=_width(signatures, contract.SIGNATURE_ENCODE, contract.OUTPUT_ITEM_INDICES),
        top_k=_width(signatures, contract.SIGNATURE_SERVING, contract.OUTPUT_ITEM_IDS),
        signatures=frozenset(signatures.signature_def),
    )


def padded_length(sessions: Sequence[Sequence[str]], lookback: int | None, default: int) -> int:
    """Length that rows are padded and cut to: the look-back; where it is unknown, rows are cut nowhere."""
    if lookback is not None:
        return lookback
    return max([default, *(len(session) for session in sessions)])


def answers(response: Any, sessions: int, k: int, exclude: Sequence[str]) -> list[Answer]:
    """One answer a session: the response's items without the excluded ones, at most k.

    Raises ServingError (without address and model: the caller adds them) where the response is not what the
    signature promises.
    """
    items = response.outputs[contract.OUTPUT_ITEM_IDS]
    scores = response.outputs[contract.OUTPUT_SCORES]
    shape = [dim.size for dim in items.tensor_shape.dim]
    if len(shape) != 2 or shape[0] != sessions or [dim.size for dim in scores.tensor_shape.dim] != shape:
        raise ServingError(f"expected item_ids and scores of shape [{sessions}, K], received item_ids {shape}")
    width = shape[1]
    ids, values = items.string_val, _floats(scores)
    if len(ids) != sessions * width or len(values) != sessions * width:
        raise ServingError(
            f"received {len(ids)} item ids and {len(values)} scores, expected {sessions * width} of each"
        )
    left_out = {_encode(item) for item in exclude} | {b""}
    found = []
    for row in range(sessions):
        kept = [at for at in range(row * width, (row + 1) * width) if ids[at] not in left_out][:k]
        found.append(
            Answer(
                items=tuple(_decode(ids[at]) for at in kept),
                scores=tuple(values[at] for at in kept),
                model_version=response.model_spec.version.value,
            )
        )
    return found


def _width(signatures: Any, name: str, output: str) -> int | None:
    """Second dimension of a signature's output, or None where there is no such signature, output or static width."""
    if name not in signatures.signature_def or output not in signatures.signature_def[name].outputs:
        return None
    dimensions = signatures.signature_def[name].outputs[output].tensor_shape.dim
    return dimensions[1].size if len(dimensions) == 2 and dimensions[1].size > 0 else None


def _fill_tensor(tensor: Any, rows: Sequence[Sequence[str]], width: int) -> None:
    """Writes item ids as a string tensor [rows, width], padded at the right with ""."""
    tensor.dtype = protos.types_pb2.DT_STRING
    tensor.tensor_shape.dim.add(size=len(rows))
    tensor.tensor_shape.dim.add(size=width)
    for row in rows:
        tensor.string_val.extend(_encode(item) for item in row)
        tensor.string_val.extend([b""] * (width - len(row)))


def _floats(tensor: Any) -> Sequence[float]:
    """The values of a float32 tensor, which servers send as a list or as raw little-endian bytes."""
    if not tensor.tensor_content:
        return tensor.float_val  # type: ignore[no-any-return]
    return array.array("f", tensor.tensor_content)


def check_item(item: str, where: str) -> None:
    """Raises DataError, beginning with `where`, on what is no item id."""
    if not isinstance(item, str):
        raise DataError(f"{where}: an item id is text, received {item!r}")
    if not item:
        raise DataError(f'{where}: an item id is empty, and "" stands for padding')
    try:
        size = len(_encode(item))
    except UnicodeEncodeError:
        raise DataError(f"{where}: the item id {item[:20]!r} cannot be written as UTF-8") from None
    if size > contract.MAX_ITEM_ID_BYTES:
        raise DataError(
            f"{where}: the item id {item[:20]!r}... has {size} bytes, at most {contract.MAX_ITEM_ID_BYTES} are allowed"
        )


def _encode(item: str) -> bytes:
    # surrogateescape: ids are opaque, and a log in another encoding gives ids that are not UTF-8.
    return item.encode("utf-8", "surrogateescape")


def _decode(item: bytes) -> str:
    return item.decode("utf-8", "surrogateescape")
