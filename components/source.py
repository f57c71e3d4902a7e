"""What the files of a log have in common before anyone knows what their columns mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from nextclick.components.rows import Rows


class Source(Protocol):
    """An open file: delimited text, JSON lines or Parquet."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns as the file has them."""

    def has_path(self, column: str, path: Sequence[str]) -> bool:
        """Whether a column, by its normalised name, holds objects in which those keys lead to a value."""

    def rows(self, wanted: Sequence[str], nested: Mapping[str, pa.DataType]) -> Iterator[Rows]:
        """Batches of rows in the file's order.

        Args:
            wanted: columns by their normalised names; those that are not in the file are left out.
            nested: types of the columns that hold lists or objects.
        """


def normalised(columns: Sequence[str]) -> list[str]:
    """Column names as they are compared: without case and surrounding white space."""
    return [column.strip().lower() for column in columns]
