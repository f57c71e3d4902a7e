"""The floor under training's time: its matrix products alone, at the rate at which this machine multiplies matrices."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

from nextclick.components.steps import samples_negatives
from nextclick.pipeline.config import Config

_SIDE = 1024
_PRODUCTS, _REPEATS = 8, 5


def matrix_product_rate() -> float:
    """Floating-point operations a second of float32 products of square matrices: the best of five measurements."""
    matrix = tf.random.stateless_normal([_SIDE, _SIDE], [1, 2])

    def chain(value: Any) -> Any:
        for _ in range(_PRODUCTS):
            value = tf.matmul(value, matrix) / _SIDE
        return tf.reduce_sum(value)

    products = tf.function(chain)
    float(products(matrix))
    taken = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        float(products(matrix))
        taken.append(time.perf_counter() - started)
    return 2.0 * _SIDE**3 * _PRODUCTS / min(taken)


def flops_per_event(model: Any, config: Config) -> float:
    """Operations in matrix products for one event, forward and backward.

    Each weight matrix is multiplied once an event, 2 operations an entry; so is the vector of each item that the
    target is compared with. The gradients by inputs and by weights are a product of the same size each: times three.
    Outputs after the first (`training.horizon`) are not counted.
    """
    tables = (model.first_item + model.items, model.items)
    entries = sum(
        weight.shape.num_elements()
        for weight in model.trainable_variables
        if weight.shape.rank == 2 and weight.shape[0] not in tables and "bias" not in weight.name
    )
    sampled = samples_negatives(config.training.loss, model.items)
    candidates = 1 + config.training.negatives if sampled else model.items
    return float(3 * 2 * (entries + config.model.embedding_size * candidates))
