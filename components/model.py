"""The recommender: item vectors, a GRU over the session, and the session's vector after each item.

Sessions are padded at the right and the network looks back only, so padding needs no mask: read the vector at the
session's last item. Scores are products of a session vector with the vectors of the vocabulary's items; padding
and unknown items have no column there, hence are never recommended.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from nextclick.components import contract, side_inputs
from nextclick.components.attention import CausalReadout
from nextclick.components.backward import BackwardReader
from nextclick.components.gru import GatedRecurrent, states_at
from nextclick.components.precision import FLOAT32, chosen
from nextclick.components.side_embeddings import SideEmbeddings
from nextclick.pipeline.config import Config, ModelConfig

# See `ModelConfig.temperature`; docs/experiments.md has the measurements.
_AUTO_TEMPERATURE = 4.5

# Added to squared norms, so that a zero vector stays one.
_SMALLEST_SQUARE = 1e-12

# Random streams of a step (`TrainingSteps`) from which the layers' masks of recurrent dropout are drawn.
_FIRST_RECURRENT_STREAM = 16


@tf_keras.utils.register_keras_serializable("nextclick")
class Recommender(tf_keras.Model):
    """GRU recommender (Hidasi et al. 2016, arXiv 1511.06939) with normalised vectors (Gupta et al. 2019, 1909.04276).

    Args:
      items: size of the vocabulary.
      oov_buckets: out-of-vocabulary indices.
      network: fields of `ModelConfig`.
      side: number of indices of each side feature that the network looks at (side_inputs.py).
      use_gpu: train with cuDNN's kernels.
      precision: type of the products in training (precision.py).
    """

    def __init__(
        self,
        items: int,
        oov_buckets: int,
        network: dict[str, Any],
        *,
        side: Mapping[str, int] | None = None,
        use_gpu: bool = False,
        precision: str = FLOAT32,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.precision = precision
        self.items, self.oov_buckets, self.network, self.use_gpu = items, oov_buckets, dict(network), use_gpu
        self.settings = ModelConfig(**network)
        self.first_item = contract.FIRST_OOV_INDEX + oov_buckets
        # The greatest probability that cosines from -1 to 1 can give one item among so many is to stay about the same.
        self.temperature = self.settings.temperature or math.log(items) + _AUTO_TEMPERATURE
        self.recurrent = [
            GatedRecurrent(self.settings.hidden_units, use_gpu=use_gpu, precision=precision, name=f"recurrent_{number}")
            for number in range(self.settings.layers)
        ]
        self.side = None
        if side and self.settings.side_features != "off":
            mode, width = self.settings.side_features, self.settings.side_embedding_size
            self.side = SideEmbeddings(side, mode, width, name="side")
        self.readout = self.backward = self.projection = None
        if self.settings.attention == "last_state":
            self.readout = CausalReadout(self.settings.embedding_size, name="readout")
        if self.settings.bidirectional:
            self.backward = BackwardReader(
                self.settings.hidden_units, use_gpu=use_gpu, precision=precision, name="backward"
            )
        if self.backward or (not self.readout and self.settings.hidden_units != self.settings.embedding_size):
            self.projection = tf_keras.layers.Dense(self.settings.embedding_size, use_bias=False, name="projection")

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight; the input's shape does not matter."""
        width, units = self.settings.embedding_size, self.settings.hidden_units
        self.embedding = self.add_weight(
            name="embedding",
            shape=[self.first_item + self.items, width],
            initializer=_ItemInitializer(self.first_item),
        )
        if not self.settings.tied_embeddings:
            self.output_embedding = self.add_weight(
                name="output_embedding", shape=[self.items, width], initializer=_ItemInitializer(0)
            )
        if self.settings.output_bias:
            self.output_bias = self.add_weight(name="output_bias", shape=[self.items], initializer="zeros")
        if self.side is not None:
            self.side.build([None, None, width])
            width = self.side.output_width(width)
        for number, layer in enumerate(self.recurrent):
            layer.build([None, None, units if number else width])
        if self.readout is not None:
            self.readout.build([None, None, units])
        if self.backward is not None:
            self.backward.build([None, None, width])
        if self.projection is not None:
            forward = units if self.readout is None else self.settings.embedding_size
            self.projection.build([None, forward + (units if self.backward else 0)])
        self.built = True

    def call(
        self,
        item_indices: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
        places: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The session's vector after each of its items.

        Args:
          item_indices: int [batch, time], 0 = padding at the right; [batch, time, 1 + features] with side features.
          training: dropout is on.
          seed: int32 [2], of the dropout; needed in training.
          places: what `vectors_at` is asked for, which then is the answer.

        Returns: float32 [batch, time, embedding_size].
        """
        if places is not None:
            return self._vectors_at(item_indices, places)
        inputs = self._inputs(item_indices, training, seed)
        states, _ = self._states(inputs, training, seed)
        read = states if self.readout is None else self.readout(states)
        if self.backward is not None:
            mask = (
                self._state_mask(tf.reduce_prod(tf.shape(inputs)[:2]), len(self.recurrent), seed) if training else None
            )
            states = self.backward(inputs, training=training, state_mask=mask)
            rate = self.settings.dropout if training else 0.0
            read = tf.concat([read, _dropout(states, rate, seed, 1 + len(self.recurrent))], axis=-1)
        return tf.transpose(self._compared(read), [1, 0, 2])

    def continued(
        self, item_indices: tf.Tensor, starts: Sequence[tf.Tensor], reset: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """`call` in training, of rows in which session follows session and the first goes on from an earlier batch.

        Only for a network without attention, second direction and recurrent dropout.

        Args:
          item_indices: as in `call`, [batch, time, …].
          starts: each GRU layer's state before the first items, float32 [batch, units].
          reset: bool [time, batch], which items are the first of a session.
          seed: as in `call`.

        Returns: what `call` does, and each GRU layer's state after the last items.
        """
        inputs = self._inputs(item_indices, True, seed)
        states, of_layers = self._states(inputs, True, seed, starts, reset)
        return tf.transpose(self._compared(states), [1, 0, 2]), [states[-1] for states in of_layers]

    def vectors_at(self, item_indices: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """The session's vector after one of its items alone, which costs less than after all.

        Args:
          item_indices: int [batch, time], as in `call`.
          places: int32 [batch], which item of each session, from 0.

        Returns: float32 [batch, embedding_size], as `call` has it there.
        """
        vectors: tf.Tensor = self(item_indices, places=places)  # Keras saves what was called
        return vectors

    def _vectors_at(self, item_indices: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        inputs = self._inputs(item_indices)
        states, _ = self._states(inputs)
        read = states_at(states, places) if self.readout is None else self.readout.at(states, places)
        if self.backward is not None:
            read = tf.concat([read, self.backward.at(inputs, places)], axis=-1)
        return self._compared(read)

    def item_vectors(self, items: tf.Tensor | None = None) -> tf.Tensor:
        """What session vectors are multiplied with: float32 [items, embedding_size], or [..., embedding_size].

        Args:
          items: int [...], places in the vocabulary; None: all of them, in order.
        """
        table, first = self.embedding, self.first_item
        if not self.settings.tied_embeddings:
            table, first = self.output_embedding, 0
        vectors = table[first:] if items is None else tf.gather(table, items + first)
        return _unit_length(vectors) if self.settings.normalize else vectors

    def item_bias(self, items: tf.Tensor | None = None) -> tf.Tensor:
        """What is added to each item's score: float32 [items]; `items` as in `item_vectors`."""
        if not self.settings.output_bias:
            return tf.zeros([self.items] if items is None else tf.shape(items))
        return tf.convert_to_tensor(self.output_bias) if items is None else tf.gather(self.output_bias, items)

    def scaled(self, vectors: tf.Tensor) -> tf.Tensor:
        """Vectors [..., embedding_size] of the length that session vectors have: the temperature, if normalised."""
        return _unit_length(vectors) * self.temperature if self.settings.normalize else vectors

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "items": self.items,
            "oov_buckets": self.oov_buckets,
            "network": self.network,
            "side": self.side.counts if self.side is not None else {},
            "use_gpu": self.use_gpu,
            "precision": self.precision,
        }

    def _inputs(self, item_indices: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None) -> tf.Tensor:
        """What the first layer reads, float32 [time, batch, width]; arguments as in `call`."""
        inputs = tf.gather(self.embedding, side_inputs.items_of(item_indices))  # [batch, time, embedding_size]
        if self.side is not None:
            inputs = self.side(inputs, item_indices[:, :, 1:])
        inputs = tf.transpose(inputs, [1, 0, 2])  # [time, batch, width]
        return _dropout(inputs, self.settings.dropout if training else 0.0, seed, 0)

    def _states(
        self,
        inputs: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
        starts: Sequence[tf.Tensor] = (),
        reset: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The GRU's states of `_inputs`, float32 [time, batch, units], after dropout, and each layer's before it.

        `starts` and `reset` are as in `continued`; without them every row starts from zero.
        """
        rate, rows, states, of_layers = self.settings.dropout if training else 0.0, tf.shape(inputs)[1], inputs, []
        for number, layer in enumerate(self.recurrent):
            mask = self._state_mask(rows, number, seed) if training else None
            start = starts[number] if starts else None
            states = layer(states, training=training, state_mask=mask, start=start, reset=reset)
            of_layers.append(states)
            states = _dropout(states, rate, seed, 1 + number)
        return states, of_layers

    def _compared(self, states: tf.Tensor) -> tf.Tensor:
        """What is compared with items' vectors, of states or what was read of them: float32 [..., embedding_size]."""
        return self.scaled(states if self.projection is None else self.projection(states))

    def _state_mask(self, rows: tf.Tensor, layer: int, seed: tf.Tensor | None) -> tf.Tensor | None:
        """Recurrent dropout's mask of one layer, float32 [rows, units]; None where nothing is dropped."""
        rate = self.settings.recurrent_dropout
        if not rate or seed is None:
            return None
        ones = tf.ones([rows, self.settings.hidden_units])
        return _dropout(ones, rate, seed, _FIRST_RECURRENT_STREAM + layer)


def build_model(config: Config, items: int, side: Mapping[str, int] | None = None) -> Recommender:
    """A recommender over `items` vocabulary entries with fresh weights; `side` as `Recommender` takes it."""
    use_gpu = bool(tf.config.list_physical_devices("GPU"))
    network = dataclasses.asdict(config.model)
    precision = chosen(config.training.precision)
    model = Recommender(items, config.features.oov_buckets, network, side=side, use_gpu=use_gpu, precision=precision)
    model.build()
    return model


class _ItemInitializer(tf_keras.initializers.Initializer):
    """Uniform rows of about unit length; the first ones, which stand for no known item, are zero."""

    def __init__(self, zeros: int) -> None:
        self.zeros = zeros

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        limit = (3.0 / shape[1]) ** 0.5
        rows = tf.random.uniform([shape[0] - self.zeros, shape[1]], -limit, limit, dtype or tf.float32)
        return tf.concat([tf.zeros([self.zeros, shape[1]], rows.dtype), rows], axis=0)


def _unit_length(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors over their L2 norm; `tf.math.l2_normalize` takes four times as long, most of it in its gradient."""
    return vectors * tf.math.rsqrt(tf.reduce_sum(tf.square(vectors), axis=-1, keepdims=True) + _SMALLEST_SQUARE)


def _dropout(values: tf.Tensor, rate: float, seed: tf.Tensor | None, stream: int) -> tf.Tensor:
    """Values of which a share of `rate` is zero and the rest scaled up; each place in the network has its stream."""
    if not rate or seed is None:
        return values
    return tf.nn.experimental.stateless_dropout(values, rate, seed=seed + tf.constant([0, stream]))
