"""The compiled training loop: many batches a call, with nothing of Python between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nextclick.components import contract, side_inputs
from nextclick.components.batches import Plan
from nextclick.components.horizon import Outputs
from nextclick.components.losses import mean, sampled_softmax_losses, softmax_losses
from nextclick.components.model import Recommender
from nextclick.components.negatives import PopularitySampler
from nextclick.components.optimizers import Optimizer
from nextclick.components.pairwise_losses import bpr_max_losses, top1_max_losses
from nextclick.components.precision import FLOAT16, LossScale, product
from nextclick.components.schedule import learning_rate
from nextclick.components.sequences import Sequences
from nextclick.pipeline.config import TrainingConfig

# Items up to which the softmax over all of them takes less time than sampling (docs/experiments.md).
FULL_SOFTMAX_ITEMS = 10_000
# Of the 64 streams of random numbers that a step has, the one its negatives are drawn from; dropout has those before.
_NEGATIVES_STREAM = 32
_STREAMS = 64


class TrainingSteps:
    """A model, its optimiser, its training windows, and the loop over their batches.

    Args:
      model: the recommender to train.
      windows: what to train on.
      config: section `training`.
      seed: of dropout and negatives; each step derives its own, so that results do not depend on scheduling.
      total_steps: of the whole training, were it not stopped early; what a learning rate that decays is spread over.

    Attributes:
      order_rank: of `Plan.order`.
    """

    order_rank = 1

    def __init__(
        self, model: Recommender, windows: Sequences, config: TrainingConfig, seed: int, *, total_steps: int
    ) -> None:
        self.model, self.config, self.seed, self.total_steps = model, config, seed % 2**31, total_steps
        self._values = tf.constant(windows.values, tf.int32)
        self._starts = tf.constant(windows.splits[:-1])
        self._lengths = tf.constant(windows.lengths)
        self.outputs = Outputs(model, config.output_weights)
        self.optimizer = Optimizer(
            config.optimizer,
            self._variables(),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            clip_value=config.clip_value,
            clip_norm=config.clip_norm,
        )
        self.loss_scale = LossScale() if model.precision == FLOAT16 else None
        counts = _target_counts(model, windows)
        self.weights = target_weights(counts, config.rare_target_power) if config.rare_target_power else None
        self.sampler = None
        if samples_negatives(config.loss, model.items):
            self.sampler = PopularitySampler(counts, config.sampling_power)
        number, numbers = tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.int32)
        order = tf.TensorSpec([None] * self.order_rank, tf.int32)
        self._loop = tf.function(self._run, input_signature=[order, numbers, numbers, number, number])

    @property
    def skipped_steps(self) -> int:
        """Steps so far that changed nothing, since a gradient was not finite in float16."""
        return 0 if self.loss_scale is None else int(self.loss_scale.skipped_steps)

    def run(self, plan: Plan, first: int, last: int) -> tuple[float, int]:
        """Trains on batches first … last - 1 of a plan. Returns the sum of the losses of their events, and those."""
        loss, events = self._loop(plan.order, plan.starts, plan.stops, first, last)
        return float(loss), int(events)

    def _run(self, order: Any, starts: Any, stops: Any, first: Any, last: Any) -> tuple[Any, Any]:
        def body(number: tf.Tensor, loss: tf.Tensor, events: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            step_loss, step_events = self._step(order[starts[number] : stops[number]])
            return number + 1, loss + step_loss * tf.cast(step_events, tf.float32), events + step_events

        _, loss, events = tf.while_loop(lambda number, *_: number < last, body, (first, 0.0, 0), parallel_iterations=1)
        return loss, events

    def _pairs(self, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The inputs of a batch and the item after each, of what its plan says, padded with 0.

        Args:
          chosen: the batch's part of `Plan.order`; here int32 [rows], numbers of windows.

        Returns: clicks, int32 [rows, time(, 1 + side features)], and items, int32 [rows, time].
        """
        windows = self._batch(chosen)
        return windows[:, :-1], side_inputs.items_of(windows)[:, 1:]

    def _vectors(self, clicks: tf.Tensor, chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The session's vector after each click of `_pairs`, float32 [rows, time, embedding_size]."""
        vectors: tf.Tensor = self.model(clicks, training=True, seed=seed)
        return vectors

    def _batch(self, numbers: tf.Tensor) -> tf.Tensor:
        """The windows of these numbers, int32 [windows, longest(, 1 + side features)], padded with 0."""
        lengths = tf.gather(self._lengths, numbers)[:, None]
        offsets = tf.range(tf.reduce_max(lengths))[None, :]
        inside = offsets < lengths
        places = tf.where(inside, tf.gather(self._starts, numbers)[:, None] + offsets, 0)
        values = tf.gather(self._values, places)
        return tf.where(inside if values.shape.rank == 2 else inside[:, :, None], values, contract.PADDING_INDEX)

    def _step(self, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One optimiser step on a batch, `chosen` as in `_pairs`. Returns the mean loss and the number of events."""
        seed = tf.stack([tf.constant(self.seed), tf.cast(self.optimizer.step % 2**24, tf.int32) * _STREAMS])
        clicks, targets = self._pairs(chosen)
        targets = targets - self.model.first_item  # [rows, time], negative: padding or not in the vocabulary
        with tf.GradientTape() as tape:
            vectors, labels, shares = self.outputs(self._vectors(clicks, chosen, seed), targets)
            weights = None if self.weights is None else tf.gather(self.weights, labels)
            loss = mean(self._losses(labels, vectors, seed), weights, shares)
            scaled = loss if self.loss_scale is None else loss * self.loss_scale.scale
        self._apply(tape.gradient(scaled, self._variables()))
        return loss, tf.math.count_nonzero(targets >= 0, dtype=tf.int32)

    def _apply(self, gradients: list[Any]) -> None:
        rate = learning_rate(self.optimizer.step, self.total_steps, self.config)
        if self.loss_scale is None:
            self.optimizer.apply(gradients, rate)
        else:
            self.loss_scale.apply(gradients, lambda finite: self.optimizer.apply(finite, rate))

    def _variables(self) -> list[tf.Variable]:
        """All that is trained: the model's, then those of training alone."""
        return [*self.model.trainable_variables, *self.outputs.kernels.values()]

    def _losses(self, labels: tf.Tensor, vectors: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Losses [predictions] of labels [predictions] and session vectors [predictions, embedding_size]."""
        model, config = self.model, self.config
        if self.sampler is None:
            logits = self._scores(vectors, model.item_vectors()) + model.item_bias()
            return softmax_losses(labels, logits, label_smoothing=config.label_smoothing)
        negatives = self.sampler.draw(config.negatives, seed + tf.constant([0, _NEGATIVES_STREAM]))
        target_logits = tf.reduce_sum(vectors * model.item_vectors(labels), axis=1) + model.item_bias(labels)
        logits = self._scores(vectors, model.item_vectors(negatives)) + model.item_bias(negatives)
        if config.loss == "bpr_max":
            return bpr_max_losses(labels, target_logits, negatives, logits, regularization=config.score_regularization)
        if config.loss == "top1_max":
            return top1_max_losses(labels, target_logits, negatives, logits)
        return sampled_softmax_losses(
            labels,
            target_logits,
            negatives,
            logits,
            negative_log_probability=tf.gather(self.sampler.log_probability, negatives),
            label_smoothing=config.label_smoothing,
        )

    def _scores(self, vectors: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Products of session vectors with items' vectors, float32 [predictions, items], made in `precision`."""
        return product(vectors, tf.cast(items, self.model.precision), transpose_b=True)


def samples_negatives(loss: str, items: int) -> bool:
    """Whether a target is compared with items that are drawn, not with all: by `training.loss` and vocabulary size."""
    return items > FULL_SOFTMAX_ITEMS if loss == "auto" else loss != "softmax"


def target_weights(counts: npt.NDArray[np.int64], power: float) -> tf.Tensor:
    """Weight of an event by its target, float32 [items]: ∝ clicks^-power, 1 in the mean over all events.

    `counts`, int64 [items], are the clicks of each item as a target; the rarer the item, the greater its weight.
    """
    weights = np.maximum(counts, 1).astype(np.float64) ** -power
    return tf.constant(weights * counts.sum() / max((weights * counts).sum(), 1e-12), tf.float32)


def _target_counts(model: Recommender, windows: Sequences) -> npt.NDArray[np.int64]:
    """How often each vocabulary item is a target, int64 [items]: in every place of a window but the first."""
    first = np.zeros(len(windows.items), bool)
    first[windows.splits[:-1]] = True
    targets = windows.items[~first] - model.first_item
    return np.bincount(targets[targets >= 0], minlength=model.items)
