"""Optimisers that update only the rows of an embedding that a batch touched.

Keras's update every row at each step, since the moments of the others decay; for a catalogue of 43,000 items that
costs as much as the rest of the step. Here moments and weights of a row change when the row has a gradient ("lazy").
A rule is a pure function of (gradient, weights, slots) of equal shapes, so that rows and whole variables share it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# (gradient, weights, slots, rate, step from 1) → (new weights, new slots)
Rule = Callable[[Any, Any, Sequence[Any], Any, Any], tuple[Any, list[Any]]]

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
_ADAGRAD_START = 0.1


@dataclasses.dataclass(frozen=True)
class _Kind:
    rule: Rule
    slots: tuple[float, ...]  # initial value of each


class Optimizer:
    """Applies one of the rules to a fixed list of variables.

    Args:
      name: adam, nadam, adamw, adagrad or sgd.
      variables: what is trained.
      momentum: of sgd.
      weight_decay: of adamw, per step, times the learning rate.
      clip_value: each entry of a gradient is limited to ± this, before the norm is looked at; 0: it is not.
      clip_norm: the gradients are scaled down so that their global norm is at most this; 0: they are not.
    """

    def __init__(
        self,
        name: str,
        variables: Sequence[tf.Variable],
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        clip_value: float = 0.0,
        clip_norm: float = 0.0,
    ) -> None:
        kind = _kinds(momentum, weight_decay)[name]
        self._rule, self._clip_value, self._clip_norm = kind.rule, clip_value, clip_norm
        self.variables_trained = list(variables)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.slots = [
            [tf.Variable(tf.fill(variable.shape, start), trainable=False) for start in kind.slots]
            for variable in self.variables_trained
        ]

    def apply(self, gradients: Sequence[Any], rate: tf.Tensor) -> tf.Tensor:
        """One step; a gradient is a tensor, IndexedSlices (rows) or None. Returns the unclipped global norm."""
        self.step.assign_add(1)
        step = tf.cast(self.step, tf.float32)
        present = [
            (_clipped(_merged(gradient), self._clip_value), variable, slots)
            for gradient, variable, slots in zip(gradients, self.variables_trained, self.slots, strict=True)
            if gradient is not None
        ]
        norm = tf.linalg.global_norm([gradient for gradient, _, _ in present])
        scale = tf.minimum(1.0, self._clip_norm / tf.maximum(norm, 1e-12)) if self._clip_norm else None
        for gradient, variable, slots in present:
            self._update(_scaled(gradient, scale), variable, slots, rate, step)
        return norm

    def _update(self, gradient: Any, variable: tf.Variable, slots: Sequence[tf.Variable], rate: Any, step: Any) -> None:
        if isinstance(gradient, tf.IndexedSlices):
            rows = gradient.indices
            old = [tf.gather(slot, rows) for slot in slots]
            weights, new = self._rule(gradient.values, tf.gather(variable, rows), old, rate, step)
            variable.scatter_update(tf.IndexedSlices(weights, rows))
            for slot, value in zip(slots, new, strict=True):
                slot.scatter_update(tf.IndexedSlices(value, rows))
        else:
            weights, new = self._rule(gradient, tf.convert_to_tensor(variable), slots, rate, step)
            variable.assign(weights)
            for slot, value in zip(slots, new, strict=True):
                slot.assign(value)


def _merged(gradient: Any) -> Any:
    """IndexedSlices with each row once: the rows' gradients added up."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    return tf.IndexedSlices(tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows)), rows)


def _clipped(gradient: Any, limit: float) -> Any:
    if not limit:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(tf.clip_by_value(gradient.values, -limit, limit), gradient.indices)
    return tf.clip_by_value(gradient, -limit, limit)


def _scaled(gradient: Any, scale: Any) -> Any:
    if scale is None:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * scale, gradient.indices)
    return gradient * scale


def _kinds(momentum: float, weight_decay: float) -> dict[str, _Kind]:
    def adam(gradient: Any, weights: Any, slots: Sequence[Any], rate: Any, step: Any) -> tuple[Any, list[Any]]:
        """Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1."""
        mean = _BETA_1 * slots[0] + (1 - _BETA_1) * gradient
        square = _BETA_2 * slots[1] + (1 - _BETA_2) * tf.square(gradient)
        rate = rate * tf.sqrt(1 - _BETA_2**step) / (1 - _BETA_1**step)
        return weights - rate * mean / (tf.sqrt(square) + _EPSILON), [mean, square]

    def adamw(gradient: Any, weights: Any, slots: Sequence[Any], rate: Any, step: Any) -> tuple[Any, list[Any]]:
        """Loshchilov & Hutter 2019 (arXiv 1711.05101): the decay bypasses the moments."""
        decayed = weights * (1 - rate * weight_decay)
        return adam(gradient, decayed, slots, rate, step)

    def nadam(gradient: Any, weights: Any, slots: Sequence[Any], rate: Any, step: Any) -> tuple[Any, list[Any]]:
        """Dozat 2016: Adam that looks one step of momentum ahead."""
        mean = _BETA_1 * slots[0] + (1 - _BETA_1) * gradient
        square = _BETA_2 * slots[1] + (1 - _BETA_2) * tf.square(gradient)
        ahead = _BETA_1 * mean / (1 - _BETA_1 ** (step + 1)) + (1 - _BETA_1) * gradient / (1 - _BETA_1**step)
        return weights - rate * ahead / (tf.sqrt(square / (1 - _BETA_2**step)) + _EPSILON), [mean, square]

    def adagrad(gradient: Any, weights: Any, slots: Sequence[Any], rate: Any, step: Any) -> tuple[Any, list[Any]]:
        """Duchi et al. 2011; the sum of squares starts at 0.1, ε is outside of the root."""
        square = slots[0] + tf.square(gradient)
        return weights - rate * gradient / (tf.sqrt(square) + _EPSILON), [square]

    def sgd(gradient: Any, weights: Any, slots: Sequence[Any], rate: Any, step: Any) -> tuple[Any, list[Any]]:
        velocity = momentum * slots[0] + gradient
        return weights - rate * velocity, [velocity]

    return {
        "adam": _Kind(adam, (0.0, 0.0)),
        "adamw": _Kind(adamw, (0.0, 0.0)),
        "nadam": _Kind(nadam, (0.0, 0.0)),
        "adagrad": _Kind(adagrad, (_ADAGRAD_START,)),
        "sgd": _Kind(sgd, (0.0,)),
    }
