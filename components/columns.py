"""Columns of record batches of sessions, as flat arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def column(batch: pa.RecordBatch, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The values of a column of lists, row after row, and how many each row has, int64 [rows].

    A row without the feature has none; neither has any where no row has it.
    """
    place = batch.schema.get_field_index(name)
    lists = batch.column(place) if place >= 0 else None
    if lists is None or not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        return np.empty(0, np.int64), np.zeros(batch.num_rows, np.int64)
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return lists.flatten().to_numpy(zero_copy_only=False), lengths
