"""What a caller will get: do the serving signatures answer as the evaluation did, how fast, how large is the model?

A model can pass every metric and still be served wrong: the metrics are those of the evaluation signature, callers
use the others. So some test sessions are asked through each of them, as a client would.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nextclick.components import contract, served

DISAGREEMENT = "serving/disagreement"
P99_MS = "serving/p99_ms"
MEGABYTES = "serving/megabytes"
# Sessions that are compared; single requests that are timed, after some that warm up.
MAX_SESSIONS = 64
_REQUESTS, _WARM_UP = 100, 10
# Two paths may sum in another order; scores this near, relative to their size, count as one.
_TOLERANCE = 1e-4
_ASKED = (contract.SIGNATURE_EVALUATE, contract.SIGNATURE_SERVING, contract.SIGNATURE_EXAMPLES)

Signature = Callable[..., Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Answer:
    """One test session as served: the clicks before its last one, and what was recommended after them."""

    session: list[str]
    clicked: str
    recommended: list[str]


@dataclasses.dataclass(frozen=True)
class Checked:
    """What was measured.

    Attributes:
        figures: serving/disagreement, the share of the sessions in which a serving signature and the evaluation
            differ, 1 where a signature is missing; serving/p99_ms of a single request in this process;
            serving/megabytes of the model's files.
        answers: of the sessions, in their order.
    """

    figures: dict[str, float]
    answers: list[Answer]


def check(model_path: str, examples: Sequence[bytes]) -> Checked:
    """Asks a SavedModel about test sessions.

    Args:
        model_path: folder of the SavedModel.
        examples: raw serialised tf.Examples; of those with two events or more, MAX_SESSIONS are used.
    """
    model = tf.saved_model.load(model_path)
    signatures, exclude_seen = model.signatures, bool(getattr(model, "exclude_seen", False))
    size = megabytes(model_path)
    if not set(_ASKED) <= set(signatures):
        return Checked({DISAGREEMENT: 1.0, P99_MS: 0.0, MEGABYTES: size}, [])
    parsed = [(example, item_ids(example)) for example in examples]
    sessions = [(example, items) for example, items in parsed if len(items) > 1][:MAX_SESSIONS]
    found = [_compare(signatures, example, items, exclude_seen) for example, items in sessions]
    figures = {
        DISAGREEMENT: float(np.mean([not agrees for agrees, _ in found])) if found else 1.0,
        P99_MS: _p99_ms(signatures[contract.SIGNATURE_SERVING], [items[:-1] for _, items in sessions]),
        MEGABYTES: size,
    }
    return Checked(figures, [answer for _, answer in found])


def megabytes(model_path: str) -> float:
    """Size of a SavedModel's files."""
    return float(sum(tf.io.gfile.stat(f"{model_path}/{name}").length for name in served.files(model_path))) / 1e6


def item_ids(example: bytes) -> list[bytes]:
    """Item ids of a raw serialised tf.Example, the newest where it has more than a request may have."""
    features = tf.train.Example.FromString(example).features.feature
    return list(features[contract.ITEM_IDS].bytes_list.value)[-contract.MAX_REQUEST_ITEMS - 1 :]


def _compare(
    signatures: Mapping[str, Signature], example: bytes, items: list[bytes], exclude_seen: bool
) -> tuple[bool, Answer]:
    """Whether the last click of a session has the same rank, and the list the same length, wherever it is asked."""
    evaluated = signatures[contract.SIGNATURE_EVALUATE](**{contract.INPUT_EXAMPLES: tf.constant([example])})
    ranks = evaluated[contract.OUTPUT_RANKS].numpy()[0]
    ranks = ranks[ranks != contract.NO_PREDICTION]
    asked = _ask_events if contract.SIGNATURE_EVENTS in signatures else _ask_ids
    by_ids = asked(signatures, _without_last(example, items), items[:-1])
    by_example = signatures[contract.SIGNATURE_EXAMPLES](
        **{contract.INPUT_EXAMPLES: tf.constant([_without_last(example, items)])}
    )
    answers = [_first_row(by_ids), _first_row(by_example)]
    # Where repeats are collapsed the session may have become one click long: nothing was evaluated.
    seen = set(items[:-1]) if exclude_seen else set()
    agrees = not len(ranks) or all(_has_rank(ids, scores, items[-1], int(ranks[-1]), seen) for ids, scores in answers)
    ids = [_text(item) for item in answers[0][0][: contract.TOP_IDS]]
    return agrees, Answer([_text(item) for item in items[:-1]], _text(items[-1]), ids)


def _ask_ids(signatures: Mapping[str, Signature], example: bytes, items: Sequence[bytes]) -> Mapping[str, Any]:
    return signatures[contract.SIGNATURE_SERVING](**{contract.INPUT_ITEM_IDS: tf.constant([list(items)])})


def _ask_events(signatures: Mapping[str, Any], example: bytes, items: Sequence[bytes]) -> Mapping[str, Any]:
    """With the other raw features of the example, cut to its items: a client knows nothing of what comes next."""
    signature = signatures[contract.SIGNATURE_EVENTS]
    known = tf.train.Example.FromString(example).features.feature
    inputs = {contract.INPUT_ITEM_IDS: tf.constant([list(items)])}
    for name, spec in signature.structured_input_signature[1].items():
        if name not in inputs:
            values = (known[name].int64_list if spec.dtype == tf.int64 else known[name].bytes_list).value
            inputs[name] = tf.constant([list(values)[: len(items)]], spec.dtype, [1, min(len(values), len(items))])
    answer: Mapping[str, Any] = signature(**inputs)
    return answer


def _without_last(example: bytes, items: Sequence[bytes]) -> bytes:
    shorter = tf.train.Example.FromString(example)
    shorter.features.feature[contract.ITEM_IDS].bytes_list.value[:] = items[:-1]
    return bytes(shorter.SerializeToString())


def _first_row(answer: Mapping[str, Any]) -> tuple[list[bytes], npt.NDArray[Any]]:
    return answer[contract.OUTPUT_ITEM_IDS].numpy()[0].tolist(), answer[contract.OUTPUT_SCORES].numpy()[0]


def _has_rank(ids: list[bytes], scores: npt.NDArray[Any], target: bytes, rank: int, left_out: set[bytes]) -> bool:
    """Whether a list is one in which the target has the rank that the evaluation gave it.

    Of a target beyond the list, and of one in it, all that can be told is on which side of the list's end it is. The
    evaluation ranks among all items: where some are left out of the list, the target has moved up by as many at most.
    """
    if left_out & set(ids):
        return False
    if target not in ids:
        return target in left_out or rank > len(ids)
    own = float(scores[ids.index(target)])
    slack = _TOLERANCE * max(1.0, abs(own))
    best = 1 + int(np.count_nonzero(scores > own + slack))
    worst = int(np.count_nonzero(scores >= own - slack))
    # At the list's end others may have the target's score that are not in the list.
    return best <= rank and (rank - len(left_out) <= worst or worst == len(ids))


def request_ms(signature: Signature, prefixes: Sequence[Sequence[bytes]]) -> list[float]:
    """Milliseconds of each of 100 requests with one session, in this process; none where there is no session."""
    seconds = []
    for number in range(_WARM_UP + _REQUESTS if prefixes else 0):
        request = tf.constant([list(prefixes[number % len(prefixes)])])
        start = time.perf_counter()
        signature(**{contract.INPUT_ITEM_IDS: request})[contract.OUTPUT_SCORES].numpy()
        seconds.append(time.perf_counter() - start)
    return [value * 1000.0 for value in seconds[_WARM_UP:]]


def _p99_ms(signature: Signature, prefixes: Sequence[Sequence[bytes]]) -> float:
    taken = request_ms(signature, prefixes)
    return float(np.quantile(taken, 0.99)) if taken else 0.0


def _text(item: bytes) -> str:
    return item.decode(errors="replace")
