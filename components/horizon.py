"""Several outputs a step: after each click the network also predicts the clicks that come after the next one.

Output m, from 1, predicts the item m clicks later in the same window. The first is the recommender itself; each
further one has a matrix of its own between the session's vector and the items, and teaches the network what belongs
into a session beyond the next click (multi-token prediction: Gloeckle et al. 2024, arXiv 2404.19737). The matrices
are of training alone: they are in neither the model nor what is exported, and start as the identity in every training.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from nextclick.components.model import Recommender


class Outputs(tf.Module):
    """What is predicted after each place of a window, and how much it counts.

    Args:
      model: whose session vectors predict.
      weights: of output 1, 2, …; that of the first is not 0, and an output of weight 0 is left out.
    """

    def __init__(self, model: Recommender, weights: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.weights = {ahead: weight for ahead, weight in enumerate(weights, 1) if weight}
        width = model.settings.embedding_size
        self.kernels = {
            ahead: tf.Variable(tf.eye(width), name=f"output_{ahead}") for ahead in self.weights if ahead > 1
        }

    def __call__(self, vectors: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """All predictions, output after output.

        Args:
          vectors: after each place, float32 [rows, time, embedding_size].
          targets: what comes next there, int [rows, time], places in the vocabulary; negative: nothing to predict.

        Returns: session vectors, float32 [predictions, embedding_size], labels, int [predictions], and the weights of
          their outputs, float32 [predictions]; None where there is one output only.
        """
        flat = tf.reshape(vectors, [-1, vectors.shape[-1]])
        parts = []
        for ahead, weight in self.weights.items():
            places, labels = places_and_labels(targets, ahead)
            of_output = tf.gather(flat, places)
            if ahead > 1:
                of_output = self.model.scaled(tf.matmul(of_output, self.kernels[ahead]))
            parts.append((of_output, labels, tf.fill(tf.shape(labels), weight)))
        if len(parts) == 1:
            return *parts[0][:2], None
        found, labels, weights = (tf.concat(part, axis=0) for part in zip(*parts, strict=True))
        return found, labels, weights


def places_and_labels(targets: tf.Tensor, ahead: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the item so many clicks later is known, in the same row.

    Args:
      targets: int [rows, time], the next item after each place; negative: padding or an unknown item.
      ahead: clicks, from 1.

    Returns: places, int64 [predictions], row · time + t, and labels, int [predictions]: targets[row, t + ahead - 1].
    """
    # Where rows have no place so far ahead the padding makes them too long, but then nothing in them is known.
    shifted = tf.pad(targets[:, ahead - 1 :], [[0, 0], [0, ahead - 1]], constant_values=-1)
    shifted = tf.reshape(shifted, [-1])
    places = tf.where(shifted >= 0)[:, 0]
    return places, tf.gather(shifted, places)
