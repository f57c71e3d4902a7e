"""The compiled training loop over session-parallel batches: states go on from batch to batch and end with sessions.

Gradients go back to the first step of a batch and no further (truncated back-propagation through time). The states
before it are those that the weights of the batches before gave; they are not computed again.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from nextclick.components import contract, side_inputs
from nextclick.components.model import Recommender
from nextclick.components.sequences import Sequences
from nextclick.components.session_parallel import EMPTY, lane_count
from nextclick.components.steps import TrainingSteps
from nextclick.pipeline.config import TrainingConfig


class StatefulSteps(TrainingSteps):
    """`TrainingSteps` over plans of session_parallel.py.

    Args:
      model: without attention, second direction and recurrent dropout.
      sessions: whole ones, of two items or more each.
      config, seed, total_steps: as `TrainingSteps` takes them.

    Attributes:
      lanes: of the plans to be given to `run`, which has to get all batches of an epoch in their order.
      states: each GRU layer's state of each lane, float32 [lanes, units]. An epoch need not set them back: the first
        step of each lane is the first of a session.
    """

    order_rank = 2

    def __init__(
        self, model: Recommender, sessions: Sequences, config: TrainingConfig, seed: int, *, total_steps: int
    ) -> None:
        super().__init__(model, sessions, config, seed, total_steps=total_steps)
        self.lanes = lane_count(sessions, config)
        self.states = [tf.Variable(tf.zeros([self.lanes, layer.units]), trainable=False) for layer in model.recurrent]
        first = np.zeros(len(sessions.values), bool)
        first[sessions.splits[:-1]] = True
        self._first = tf.constant(first)

    def _pairs(self, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`chosen` is int32 [time, lanes], a part of the plan's `order`."""
        places = tf.transpose(chosen)  # [lanes, time]
        there = places != EMPTY
        clicks = tf.gather(self._values, tf.maximum(places, 0))
        following = side_inputs.items_of(tf.gather(self._values, places + 1))
        clicks = tf.where(there if clicks.shape.rank == 2 else there[:, :, None], clicks, contract.PADDING_INDEX)
        return clicks, tf.where(there, following, contract.PADDING_INDEX)

    def _vectors(self, clicks: tf.Tensor, chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        starts = [tf.convert_to_tensor(state) for state in self.states]
        reset = tf.gather(self._first, tf.maximum(chosen, 0))  # [time, lanes]
        vectors, ends = self.model.continued(clicks, starts, reset, seed)
        for state, end in zip(self.states, ends, strict=True):
            state.assign(end)
        return vectors
