"""What narrower weights cost and save: the exported model beside its float32 form, on the same test sessions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nextclick.components import contract, serving_checks
from nextclick.components.metrics import RankCounts

# Of the float32 form less that of the exported one.
MRR_LOSS = "weights/mrr_loss"
BEFORE, AFTER = "weights/before", "weights/after"
MAX_SESSIONS = 5000
_BATCH = 64
_MRR = "mrr@20"
_TIMED_SESSIONS = 32


def measure(model_path: str, reference_path: str, examples: Sequence[bytes]) -> dict[str, float]:
    """Quality, latency and size of both, and the loss in quality.

    Args:
        model_path: the exported model.
        reference_path: its float32 form.
        examples: raw serialised tf.Examples; the first MAX_SESSIONS are used.

    Returns: MRR_LOSS, and under BEFORE and AFTER each "/mrr@20", "/p50_ms", "/p99_ms" and "/megabytes".
    """
    used = examples[:MAX_SESSIONS]
    before, after = _figures(reference_path, used), _figures(model_path, used)
    return {
        MRR_LOSS: before[_MRR] - after[_MRR],
        **{f"{BEFORE}/{name}": value for name, value in before.items()},
        **{f"{AFTER}/{name}": value for name, value in after.items()},
    }


def _figures(path: str, examples: Sequence[bytes]) -> dict[str, float]:
    signatures = tf.saved_model.load(path).signatures
    ranks = np.concatenate([*_ranks(signatures, examples), np.zeros(0, np.int64)])
    asked = [serving_checks.item_ids(example) for example in examples[:_TIMED_SESSIONS]]
    taken = serving_checks.request_ms(signatures[contract.SIGNATURE_SERVING], [items for items in asked if items])
    return {
        _MRR: RankCounts.of(ranks).value(_MRR),
        "p50_ms": float(np.quantile(taken, 0.5)) if taken else 0.0,
        "p99_ms": float(np.quantile(taken, 0.99)) if taken else 0.0,
        "megabytes": serving_checks.megabytes(path),
    }


def _ranks(signatures: Mapping[str, Any], examples: Sequence[bytes]) -> Iterator[Any]:
    for start in range(0, len(examples), _BATCH):
        batch = tf.constant(examples[start : start + _BATCH])
        answer = signatures[contract.SIGNATURE_EVALUATE](**{contract.INPUT_EXAMPLES: batch})
        ranks = answer[contract.OUTPUT_RANKS].numpy()
        yield ranks[ranks != contract.NO_PREDICTION].astype(np.int64)
