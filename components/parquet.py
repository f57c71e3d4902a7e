"""Parquet files as columns, a batch of rows at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from pyarrow import parquet

from nextclick.components.inputs import InputFile, TruncatedInputError, read_chunks
from nextclick.components.rows import Rows
from nextclick.components.source import normalised
from nextclick.pipeline.errors import DataError

MAGIC = b"PAR1"
_ROWS_PER_BATCH = 1 << 18


class Parquet:
    """A file of columns; rows are counted from 1."""

    def __init__(self, file: InputFile, zipped: bool) -> None:
        """Reads the footer.

        Raises:
            DataError: the file is damaged.
        """
        try:
            self._file = parquet.ParquetFile(_seekable(file, zipped))
        except (pa.ArrowInvalid, OSError, TruncatedInputError) as error:
            raise DataError(f"{file.path} is damaged or no Parquet file: get it anew ({error})") from error
        self.columns: Sequence[str] = self._file.schema_arrow.names

    def has_path(self, column: str, path: Sequence[str]) -> bool:
        """See `source.Source`."""
        kind = self._file.schema_arrow.types[normalised(self.columns).index(column)]
        for key in path:
            if not pa.types.is_struct(kind) or kind.get_field_index(key) < 0:
                return False
            kind = kind[kind.get_field_index(key)].type
        return True

    def rows(self, wanted: Sequence[str], nested: Mapping[str, pa.DataType]) -> Iterator[Rows]:
        """See `source.Source`."""
        del nested  # the file knows its types
        names = dict(zip(normalised(self.columns), self.columns, strict=True))
        chosen = [names[name] for name in wanted if name in names]
        first = 1
        for batch in self._file.iter_batches(_ROWS_PER_BATCH, columns=chosen):
            columns = dict(zip(normalised(batch.schema.names), batch.columns, strict=True))
            yield Rows(columns, np.arange(first, first + batch.num_rows), _raw(batch))
            first += batch.num_rows


def _raw(batch: pa.RecordBatch) -> Any:
    def row(index: int) -> bytes:
        (values,) = batch.slice(index, 1).to_pylist()
        return json.dumps(values, ensure_ascii=False, default=str).encode()

    return row


def _seekable(file: InputFile, zipped: bool) -> Any:
    """Something that Arrow can seek in; a gzipped file is unzipped into memory."""
    if zipped:
        return io.BytesIO(b"".join(read_chunks(file)))
    return FileSystems.open(file.path, compression_type=CompressionTypes.UNCOMPRESSED)
