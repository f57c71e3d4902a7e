"""Rows of encoded items of different lengths, as two flat arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer[Any]]

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Sessions or windows: row i is `values[splits[i]:splits[i + 1]]`.

    Attributes:
      values: int32 [events], item indices; [events, 1 + features] with side features (side_inputs.py).
      splits: int64 [rows + 1], ascending from 0.
    """

    values: npt.NDArray[np.int32]
    splits: npt.NDArray[np.int64]

    @property
    def items(self) -> npt.NDArray[np.int32]:
        """Item indices, int32 [events]."""
        return self.values if self.values.ndim == 1 else self.values[:, 0]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Items of each row, int64 [rows]."""
        return np.diff(self.splits)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.splits) - 1

    def take(self, rows: npt.NDArray[np.int64]) -> Sequences:
        """The given rows, in the given order."""
        lengths = self.lengths[rows]
        splits = _splits(lengths)
        shift = np.repeat(self.splits[:-1][rows] - splits[:-1], lengths)
        return Sequences(self.values[np.arange(splits[-1]) + shift], splits)


def from_lists(rows: Iterable[Sequence[int]]) -> Sequences:
    """Sequences of plain lists of item indices."""
    return from_parts((np.asarray(row, np.int32), np.asarray([len(row)])) for row in rows)


def from_parts(parts: Iterable[tuple[Integers, Integers]], columns: int = 0) -> Sequences:
    """Sequences of parts of (values [events], lengths [rows]), one after the other.

    `columns` is 1 + the number of side features, where values are [events, columns].
    """
    parts = list(parts)
    none = np.zeros([0, columns] if columns else [0], np.int32)
    values = np.concatenate([none, *(values.astype(np.int32) for values, _ in parts)])
    lengths = np.concatenate([np.zeros(0, np.int64), *(lengths.astype(np.int64) for _, lengths in parts)])
    return Sequences(values, _splits(lengths))


def concatenate(first: Sequences, second: Sequences) -> Sequences:
    """The rows of both."""
    return Sequences(
        np.concatenate([first.values, second.values]), _splits(np.concatenate([first.lengths, second.lengths]))
    )


def in_stable_order(sequences: Sequences) -> Sequences:
    """The rows in an order that depends on their content alone, not on the order in which they came.

    Beam's shards and their order vary from run to run; whatever is shuffled from this order by a seed does not.
    Rows are sorted by length, then by 128 bits of fingerprint: rows that compare equal are the same.
    """
    return sequences.take(stable_order(sequences))


def stable_order(sequences: Sequences) -> npt.NDArray[np.int64]:
    """The rows' numbers in that order: int64 [rows]."""
    prints = (_fingerprints(sequences, 1), _fingerprints(sequences, 2))
    order: npt.NDArray[np.int64] = np.lexsort((*prints, sequences.lengths))
    return order


def _fingerprints(sequences: Sequences, salt: int) -> npt.NDArray[np.uint64]:
    """uint64 [rows]: sum over a row of a mix (splitmix64) of item, place and salt."""
    places = np.arange(len(sequences.values)) - np.repeat(sequences.splits[:-1], sequences.lengths)
    mixed = sequences.items.astype(np.uint64) + (places.astype(np.uint64) << np.uint64(32))
    with np.errstate(over="ignore"):
        for values in sequences.values.T[1:] if sequences.values.ndim > 1 else ():
            mixed = mixed * _MIX[1] + values.astype(np.uint64)
        mixed = (mixed + np.uint64(salt)) * _MIX[0]
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[1]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[2]
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed ^ (mixed >> np.uint64(31)))])
        prints: npt.NDArray[np.uint64] = sums[sequences.splits[1:]] - sums[sequences.splits[:-1]]
    return prints


def _splits(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
