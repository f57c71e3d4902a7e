"""The mean of a network's weights after its newest epochs (stochastic weight averaging, Izmailov et al. 2018, arXiv
1803.05407, over the last epochs only).

At a learning rate that does not fall, weights wander about the place where a falling one would leave them; their mean
is nearer to it. It costs a copy of the weights an epoch, and nothing when the model is used.
"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import tf_keras


class WeightAverage:
    """What a model is validated and exported with, beside what its training goes on from.

    Args:
      model: built; between `train_on` and `take` its weights are those of the newest step, else their mean.
      epochs: how many of the newest epochs count; 1: the newest alone, and nothing is copied.
    """

    def __init__(self, model: tf_keras.Model, epochs: int) -> None:
        self._model = model
        self._newest: collections.deque[list[Any]] | None = collections.deque(maxlen=epochs) if epochs > 1 else None

    def train_on(self) -> None:
        """Before an epoch: the model gets the weights of the newest step back."""
        if self._newest:
            self._model.set_weights(self._newest[-1])

    def take(self) -> None:
        """After an epoch: the model gets the mean of the weights after the newest epochs, this one with them."""
        if self._newest is None:
            return
        self._newest.append(self._model.get_weights())
        self._model.set_weights([np.mean(weights, axis=0) for weights in zip(*self._newest, strict=True)])
