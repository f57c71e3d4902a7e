"""How sessions become numbers: pure TensorFlow functions on ragged tensors, used by Transform, training and serving.

A batch of sessions is a RaggedTensor [sessions, (items)]; an item is an opaque byte string until it is encoded.
Encoded items are numbered as `contract` says: 0 padding, then the out-of-vocabulary indices, then the vocabulary.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nextclick.components import contract


def to_ragged(sessions: Any) -> Any:
    """A RaggedTensor [sessions, (items)] of a ragged, sparse or dense (padded with "" or 0) tensor of that shape."""
    if isinstance(sessions, tf.RaggedTensor):
        return sessions
    if isinstance(sessions, tf.SparseTensor):
        return tf.RaggedTensor.from_sparse(sessions)
    return tf.RaggedTensor.from_tensor(sessions)


def clean(item_ids: Any) -> Any:
    """The sessions without their empty ids: string ragged [sessions, (items)] in and out."""
    return tf.ragged.boolean_mask(item_ids, _is_item(item_ids))


def collapse_repeats(item_ids: Any) -> Any:
    """Of consecutive equal items of a session the first: a, a, b, a becomes a, b, a."""
    return tf.ragged.boolean_mask(item_ids, _is_new(item_ids))


def kept_places(item_ids: Any, collapse: bool) -> Any:
    """Where the items that `clean` and, where `collapse`, `collapse_repeats` leave stand in the flat values.

    So whatever else is known of an event stays beside its item: int64 ragged [sessions, (items)].
    """
    places = item_ids.with_flat_values(tf.range(tf.size(item_ids.flat_values, tf.int64)))
    places = tf.ragged.boolean_mask(places, _is_item(item_ids))
    return tf.ragged.boolean_mask(places, _is_new(clean(item_ids))) if collapse else places


def encode(item_ids: Any, vocabulary_positions: Any, oov_buckets: int) -> Any:
    """Item indices of ids whose places in the vocabulary are known.

    Args:
      item_ids: string ragged [sessions, (items)].
      vocabulary_positions: int64, same shape; place in the vocabulary from 0, negative where the id is not in it.
      oov_buckets: indices that the unknown ids share, by a fingerprint that is the same everywhere.

    Returns: int64 ragged of the same shape; never 0, which is padding.
    """
    ids, positions = item_ids.flat_values, vocabulary_positions.flat_values
    unknown = contract.FIRST_OOV_INDEX + tf.strings.to_hash_bucket_fast(ids, oov_buckets)
    known = contract.FIRST_OOV_INDEX + oov_buckets + positions
    return item_ids.with_flat_values(tf.where(positions < 0, unknown, known))


def newest(sessions: Any, lookback: int) -> Any:
    """The last `lookback` items of each session, ragged [sessions, (items)] in and out."""
    return sessions[:, -lookback:]


def cut_windows(sessions: Any, length: int) -> Any:
    """Cuts sessions into windows of at most length + 1 items that overlap by one and never cross a session.

    A window holds `length` inputs and, one place on, their targets; the overlap makes a session of n items
    give exactly n - 1 pairs of input and target. A session of fewer than two items has no window.

    Args:
      sessions: ragged [sessions, (items)] of any type.
      length: inputs of a window at most.

    Returns: ragged [sessions, (windows), (items)]: for length 2, [[1, 2, 3, 4]] becomes [[[1, 2, 3], [3, 4]]].
    """
    lengths = sessions.row_lengths()  # [sessions] int64
    starts = tf.ragged.range(tf.zeros_like(lengths), tf.maximum(lengths - 1, 0), length)  # [sessions, (windows)]
    session = starts.value_rowids()
    first = starts.flat_values  # [windows]
    last = tf.minimum(first + length + 1, tf.gather(lengths, session))  # [windows], not included
    offset = tf.gather(sessions.row_starts(), session)
    places = tf.ragged.range(first + offset, last + offset)  # [windows, (items)]
    return starts.with_values(places.with_values(tf.gather(sessions.flat_values, places.flat_values)))


def newest_first(sessions: Any, steps: int) -> tf.Tensor:
    """The newest items after each event: int ragged [sessions, (items)] → [events, steps], the event's own first.

    Padded with 0 at the right: for 2 steps, [[5, 6, 7]] becomes [[5, 0], [6, 5], [7, 6]].
    """
    places = tf.range(tf.size(sessions.flat_values, tf.int64))[:, None] - tf.range(steps, dtype=tf.int64)
    is_there = places >= tf.gather(sessions.row_starts(), sessions.value_rowids())[:, None]
    return tf.where(is_there, tf.gather(sessions.flat_values, tf.maximum(places, 0)), 0)


def to_dense(sessions: Any) -> tf.Tensor:
    """[sessions, longest, …] padded with 0 at the right, one column at least, of int ragged [sessions, (items), …]."""
    dense = sessions.to_tensor()
    missing = [[0, 0], [0, tf.maximum(1 - tf.shape(dense)[1], 0)]]
    return tf.pad(dense, missing + [[0, 0]] * (dense.shape.rank - 2))


def _is_item(item_ids: Any) -> Any:
    """Where an id is not empty, bool ragged [sessions, (items)]."""
    return item_ids.with_flat_values(tf.not_equal(item_ids.flat_values, ""))


def _is_new(item_ids: Any) -> Any:
    """Where an item is not the one before it in its session, bool ragged [sessions, (items)]."""
    items = item_ids.flat_values  # [events]
    is_first = tf.equal(tf.ragged.range(item_ids.row_lengths()).flat_values, 0)
    differs = tf.not_equal(items, tf.roll(items, shift=1, axis=0))
    return item_ids.with_flat_values(is_first | differs)
