"""The compiled training loop: many batches a call, with nothing of Python between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nextclick.components import contract
from nextclick.components.batches import Plan
from nextclick.components.losses import sampled_softmax_loss, softmax_loss
from nextclick.components.model import Recommender
from nextclick.components.negatives import PopularitySampler
from nextclick.components.optimizers import Optimizer
from nextclick.components.sequences import Sequences
from nextclick.pipeline.config import TrainingConfig

# Items up to which the softmax over all of them takes less time than sampling (docs/experiments.md).
FULL_SOFTMAX_ITEMS = 10_000
# Of the 64 streams of random numbers that a step has, the one its negatives are drawn from; dropout has the first.
_NEGATIVES_STREAM = 32
_STREAMS = 64


class TrainingSteps:
    """A model, its optimiser, its training windows, and the loop over their batches.

    Args:
      model: the recommender to train.
      windows: what to train on.
      config: section `training`.
      seed: of dropout and negatives; each step derives its own, so that results do not depend on scheduling.
    """

    def __init__(self, model: Recommender, windows: Sequences, config: TrainingConfig, seed: int) -> None:
        self.model, self.config, self.seed = model, config, seed % 2**31
        self._values = tf.constant(windows.values, tf.int32)
        self._starts = tf.constant(windows.splits[:-1])
        self._lengths = tf.constant(windows.lengths)
        self.optimizer = Optimizer(
            config.optimizer,
            model.trainable_variables,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
        )
        self.sampler = None
        if config.loss == "sampled_softmax" or (config.loss == "auto" and model.items > FULL_SOFTMAX_ITEMS):
            self.sampler = PopularitySampler(_target_counts(model, windows), config.sampling_power)
        self._loop = tf.function(
            self._run,
            input_signature=[tf.TensorSpec([None], tf.int32)] * 3 + [tf.TensorSpec([], tf.int32)] * 2,
        )

    def run(self, plan: Plan, first: int, last: int) -> tuple[float, int]:
        """Trains on batches first … last - 1 of a plan. Returns the sum of the losses of their events, and those."""
        loss, events = self._loop(plan.order, plan.starts, plan.stops, first, last)
        return float(loss), int(events)

    def _run(self, order: Any, starts: Any, stops: Any, first: Any, last: Any) -> tuple[Any, Any]:
        def body(number: tf.Tensor, loss: tf.Tensor, events: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            step_loss, step_events = self._step(self._batch(order[starts[number] : stops[number]]))
            return number + 1, loss + step_loss * tf.cast(step_events, tf.float32), events + step_events

        _, loss, events = tf.while_loop(lambda number, *_: number < last, body, (first, 0.0, 0), parallel_iterations=1)
        return loss, events

    def _batch(self, numbers: tf.Tensor) -> tf.Tensor:
        """The windows of these numbers, int32 [windows, longest], padded with 0."""
        lengths = tf.gather(self._lengths, numbers)[:, None]
        offsets = tf.range(tf.reduce_max(lengths))[None, :]
        inside = offsets < lengths
        places = tf.where(inside, tf.gather(self._starts, numbers)[:, None] + offsets, 0)
        return tf.where(inside, tf.gather(self._values, places), contract.PADDING_INDEX)

    def _step(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One optimiser step on windows [rows, width + 1]. Returns the mean loss and the number of events."""
        seed = tf.stack([tf.constant(self.seed), tf.cast(self.optimizer.step % 2**24, tf.int32) * _STREAMS])
        targets = windows[:, 1:] - self.model.first_item  # negative: padding or not in the vocabulary
        places = tf.where(tf.reshape(targets, [-1]) >= 0)[:, 0]  # [events]
        labels = tf.gather(tf.reshape(targets, [-1]), places)
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            vectors = self.model(windows[:, :-1], training=True, seed=seed)
            vectors = tf.gather(tf.reshape(vectors, [-1, vectors.shape[-1]]), places)  # [events, embedding_size]
            loss = self._loss(labels, vectors, seed)
        self.optimizer.apply(tape.gradient(loss, variables), tf.constant(self.config.learning_rate))
        return loss, tf.size(labels)

    def _loss(self, labels: tf.Tensor, vectors: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        model, smoothing = self.model, self.config.label_smoothing
        if self.sampler is None:
            logits = tf.matmul(vectors, model.item_vectors(), transpose_b=True) + model.item_bias()
            return softmax_loss(labels, logits, label_smoothing=smoothing)
        negatives = self.sampler.draw(self.config.negatives, seed + tf.constant([0, _NEGATIVES_STREAM]))
        target_logits = tf.reduce_sum(vectors * model.item_vectors(labels), axis=1) + model.item_bias(labels)
        logits = tf.matmul(vectors, model.item_vectors(negatives), transpose_b=True) + model.item_bias(negatives)
        return sampled_softmax_loss(
            labels,
            target_logits,
            negatives,
            logits,
            negative_log_probability=tf.gather(self.sampler.log_probability, negatives),
            label_smoothing=smoothing,
        )


def _target_counts(model: Recommender, windows: Sequences) -> npt.NDArray[np.int64]:
    """How often each vocabulary item is a target, int64 [items]: in every place of a window but the first."""
    first = np.zeros(len(windows.values), bool)
    first[windows.splits[:-1]] = True
    targets = windows.values[~first] - model.first_item
    return np.bincount(targets[targets >= 0], minlength=model.items)
