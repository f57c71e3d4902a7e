"""Every prefix of a session as one prediction: session vectors, ranks and recommendations, within bounded memory.

A prediction looks at the newest `lookback` items, in evaluation exactly as in serving. One pass over the first
`lookback` items of a session gives the vector after each of them; every later prefix is a row of its own, and every
prefix is one for a network that reads it backwards.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from nextclick.components import contract, features, side_inputs
from nextclick.components.ranks import ranks, tied
from nextclick.components.scorer import ItemScorer

# Rows that are encoded at a time; scores that are held at a time.
_CHUNK_ROWS = 512
_CHUNK_SCORES = 1 << 24


@dataclasses.dataclass(frozen=True)
class Positions:
    """One row for each prefix of each session that has a next item, session after session.

    Attributes:
      vectors: float32 [positions, embedding_size], session vector after the prefix.
      known: bool [positions], whether the prefix, as far as it is looked at, has an item of the vocabulary.
      newest: int [positions, scorer's steps], the prefix's newest items, the latest first, padded at the right.
    """

    vectors: tf.Tensor
    known: tf.Tensor
    newest: tf.Tensor


def prefix_positions(scorer: ItemScorer, sessions: Any) -> Positions:
    """Positions of encoded sessions: int ragged [sessions, (items)], n - 1 positions for a session of n items.

    Like all here, these may have side features beside the items: then flat values are [events, 1 + features].
    """
    lookback = scorer.lookback
    inputs = sessions[:, :-1]  # the last item is a target only
    if scorer.alone:
        newest = features.newest_first(side_inputs.items_of(inputs), scorer.steps)
        return Positions(*_each_alone(scorer, inputs), newest)
    heads = inputs[:, :lookback]
    head = _head_positions(scorer, heads)
    windows = _late_windows(inputs, lookback)
    tail = _tail_positions(scorer, windows.flat_values, lookback)
    order = _interleaved(heads.row_lengths(), windows.row_lengths(), tf.shape(head[0], tf.int64)[0])
    return Positions(
        tf.gather(tf.concat([head[0], tail[0]], 0), order),
        tf.gather(tf.concat([head[1], tail[1]], 0), order),
        features.newest_first(side_inputs.items_of(inputs), scorer.steps),
    )


def position_ranks(scorer: ItemScorer, sessions: Any, top: int) -> tuple[Any, Any, Any]:
    """Rank of the next item after each prefix, the items recommended there, and whether the next item is tied.

    Args:
      scorer: model and what is needed around it.
      sessions: int ragged [sessions, (items)].
      top: number of recommendations.

    Returns:
      int32 ragged [sessions, (positions)], UNKNOWN_TARGET_RANK where the next item is not in the vocabulary;
      int32 ragged [sessions, (positions), top], item indices, best first, filled up with padding where the
      vocabulary has fewer than `top`; and bool ragged [sessions, (positions)], whether another candidate has the
      next item's score: false where it has none.
    """
    positions = prefix_positions(scorer, sessions)
    targets = side_inputs.items_of(sessions)[:, 1:]
    labels = tf.cast(targets.flat_values, tf.int32) - scorer.first_item  # negative: not in the vocabulary
    found, recommended, equal = _in_chunks(
        lambda vectors, known, newest, labels: _chunk_ranks(scorer, vectors, known, newest, labels, top),
        (positions.vectors, positions.known, positions.newest, labels),
        _scored_rows(scorer),
        (tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, top], tf.int32), tf.TensorSpec([None], tf.bool)),
    )
    return targets.with_values(found), targets.with_values(recommended), targets.with_values(equal)


def _scored_rows(scorer: ItemScorer) -> int:
    """Rows scored at a time; what is looked up for the newest items (session kNN) does not grow with the catalogue."""
    rows = max(1, _CHUNK_SCORES // scorer.items)
    return min(rows, _CHUNK_ROWS) if scorer.steps else rows


def _chunk_ranks(
    scorer: ItemScorer, vectors: Any, known: Any, newest: Any, labels: Any, top: int
) -> tuple[tf.Tensor, ...]:
    scores = scorer.scores(vectors, newest)  # [chunk, items]
    found = ranks(tf.maximum(labels, 0), scores)
    equal = tied(tf.maximum(labels, 0), scores) & known & (labels >= 0)
    # Without a known item the vocabulary's order, which is by popularity, is what is recommended.
    found = tf.where(known, found, labels + 1)
    found = tf.where(labels < 0, contract.UNKNOWN_TARGET_RANK, found)
    places, _ = scorer.recommend(scores, known, min(top, scorer.items))
    recommended = tf.cast(places, tf.int32) + scorer.first_item
    return found, tf.pad(recommended, [[0, 0], [0, top - min(top, scorer.items)]]), equal


def _head_positions(scorer: ItemScorer, heads: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """`vectors` and `known` of Positions, of the prefixes that are no longer than the look-back."""
    dense = features.to_dense(heads)
    mask = tf.sequence_mask(heads.row_lengths(), tf.shape(dense)[1])
    seen = tf.cumsum(tf.cast(scorer.is_known(side_inputs.items_of(dense)), tf.int32), axis=1) > 0
    return tf.boolean_mask(scorer.encode(dense), mask), tf.boolean_mask(seen, mask)


def _tail_positions(scorer: ItemScorer, items: tf.Tensor, lookback: int) -> tuple[tf.Tensor, tf.Tensor]:
    """`vectors` and `known` of Positions, of the longer prefixes: int [prefixes, look-back]."""
    rows = tf.reshape(items, [-1, lookback, *items.shape[2:]])
    vectors, known = _in_chunks(
        lambda rows: (
            _last_vectors(scorer, rows),
            tf.reduce_any(scorer.is_known(side_inputs.items_of(rows)), axis=1),
        ),
        (rows,),
        _CHUNK_ROWS,
        (tf.TensorSpec([None, scorer.width], tf.float32), tf.TensorSpec([None], tf.bool)),
    )
    return vectors, known


def _each_alone(scorer: ItemScorer, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """`vectors` and `known` of Positions, each prefix a row, those of a chunk no wider than its longest."""
    events = inputs.flat_values
    places = tf.ragged.range(inputs.row_lengths()).flat_values
    lengths = tf.cast(tf.minimum(places + 1, scorer.lookback), tf.int32)

    def encoded(last: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        offsets = tf.range(tf.reduce_max(lengths))
        inside = offsets < lengths[:, None]
        rows = tf.gather(events, tf.where(inside, (last - lengths + 1)[:, None] + offsets, 0))
        rows *= tf.cast(tf.reshape(inside, [*tf.unstack(tf.shape(inside)), *[1] * (rows.shape.rank - 2)]), rows.dtype)
        known = tf.reduce_any(scorer.is_known(side_inputs.items_of(rows)), axis=1)
        return scorer.encode_at(rows, lengths - 1), known

    vectors, known = _in_chunks(
        encoded,
        (tf.range(tf.size(lengths)), lengths),
        _CHUNK_ROWS,
        (tf.TensorSpec([None, scorer.width], tf.float32), tf.TensorSpec([None], tf.bool)),
    )
    return vectors, known


def _last_vectors(scorer: ItemScorer, rows: tf.Tensor) -> tf.Tensor:
    """Vectors after the last item of rows that have no padding: float32 [rows, width]."""
    return scorer.encode_at(rows, tf.fill(tf.shape(rows)[:1], tf.shape(rows)[1] - 1))


def _late_windows(inputs: Any, lookback: int) -> Any:
    """The newest `lookback` items of each prefix longer than that: ragged [sessions, (prefixes), lookback]."""
    late = tf.maximum(inputs.row_lengths() - lookback, 0)  # [sessions] prefixes
    offsets = tf.ragged.range(late)
    first = offsets.flat_values + tf.gather(inputs.row_starts(), offsets.value_rowids()) + 1
    places = first[:, None] + tf.range(lookback, dtype=first.dtype)
    return offsets.with_values(tf.gather(inputs.flat_values, places))


def _interleaved(heads: tf.Tensor, tails: tf.Tensor, first_tail: tf.Tensor) -> tf.Tensor:
    """Places, in heads followed by tails, of session 0's head and tail, session 1's head and tail, …: int64."""
    head_places = tf.RaggedTensor.from_row_lengths(tf.range(tf.reduce_sum(heads)), heads)
    tail_places = tf.RaggedTensor.from_row_lengths(tf.range(tf.reduce_sum(tails)) + first_tail, tails)
    return tf.concat([head_places, tail_places], axis=1).flat_values


def _in_chunks(function: Any, inputs: tuple[tf.Tensor, ...], chunk: int, outputs: tuple[tf.TensorSpec, ...]) -> Any:
    """`function` of the inputs' rows, `chunk` rows at a time, results one below the other."""
    rows = tf.shape(inputs[0])[0]
    chunks = (rows + chunk - 1) // chunk
    arrays = tuple(tf.TensorArray(spec.dtype, chunks, infer_shape=False, element_shape=spec.shape) for spec in outputs)

    def body(number: tf.Tensor, *arrays: tf.TensorArray) -> tuple[Any, ...]:
        part = function(*(values[number * chunk : (number + 1) * chunk] for values in inputs))
        return (number + 1, *(array.write(number, values) for array, values in zip(arrays, part, strict=True)))

    _, *arrays = tf.while_loop(lambda number, *_: number < chunks, body, (0, *arrays), parallel_iterations=1)
    return tuple(
        tf.cond(chunks > 0, array.concat, lambda spec=spec: tf.zeros([0, *spec.shape[1:]], spec.dtype))
        for array, spec in zip(arrays, outputs, strict=True)
    )
