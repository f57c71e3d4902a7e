"""The formats that a log may have: the registry of readers, and a file's clicks by the reader that fits.

A new format is one small file that makes a `Reader` (see `reader_rees46.py`) and one line in `READERS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from nextclick.components import (
    fields,
    lines,
    reader_columns,
    reader_diginetica,
    reader_ga4,
    reader_otto,
    reader_plain,
    reader_rees46,
    reader_retailrocket,
    reader_sessions,
    reader_yoochoose,
)
from nextclick.components.delimited import Delimited
from nextclick.components.fields import Field
from nextclick.components.inputs import InputFile, first_bytes, read_chunks
from nextclick.components.json_lines import JsonLines
from nextclick.components.parquet import MAGIC, Parquet
from nextclick.components.reader import Reader
from nextclick.components.rows import Clicks, Rows
from nextclick.components.source import Source, normalised
from nextclick.pipeline.config import DataConfig
from nextclick.pipeline.errors import DataError

AUTO = "auto"
_NEAR = 0.5
# The first that fits is taken, so that one with fewer required columns comes later.
READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        reader_plain.READER,
        reader_plain.OF_USERS,
        reader_sessions.READER,
        reader_yoochoose.READER,
        reader_yoochoose.PREPARED,
        reader_diginetica.READER,
        reader_retailrocket.READER,
        reader_otto.READER,
        reader_rees46.READER,
        reader_ga4.READER,
    )
}


class Log(NamedTuple):
    """A file of which the head has been understood."""

    file: InputFile
    reader: Reader
    source: Source
    wanted: list[str]
    consent: tuple[Field, str] | None
    attributes: tuple[Field, ...] = ()


def open_log(file: InputFile, data: DataConfig) -> Log:
    """Looks at the head of a file.

    Raises:
        DataError: the file is empty, not of a kind that is read here, or lacks a column.
    """
    source = _open_source(file)
    reader = _choose(source.columns, data)
    if isinstance(source, Delimited) and reader.is_row(source.columns):
        source = source.with_names(reader.header)
    wanted = reader.wanted(file, source.columns)
    attributes = tuple(fields.find(file, source, name, "data.attributes") for name in data.attributes)
    consent = None
    if data.consent:
        name, _, value = data.consent.partition("=")
        consent = (fields.find(file, source, name, "data.consent"), value.strip().lower())
    columns = [field.column for field in (*attributes, *([consent[0]] if consent else []))]
    return Log(file, reader, source, list(dict.fromkeys([*wanted, *columns])), consent, attributes)


def read_clicks(log: Log) -> Iterator[Clicks]:
    """The clicks and rejected rows of a file, batch by batch, in the file's order."""
    named = (*log.attributes, *([log.consent[0]] if log.consent else []))
    for rows in log.source.rows(log.wanted, {**fields.nested_types(named), **log.reader.nested}):
        yield log.reader.clicks(_with_attributes(_with_consent(rows, log), log), log.file)


def _open_source(file: InputFile) -> Source:
    head = first_bytes(file)
    if head.data.startswith(MAGIC):
        return Parquet(file, head.zipped)
    blocks = lines.blocks(read_chunks(file))
    first = next(blocks)
    if not first.data:
        raise DataError(f"{file.path} is damaged: not even its first row can be unzipped, so get it anew")
    if first.data.index(b"\n") > lines.MAX_LINE_BYTES:
        raise DataError(f"{file.path}, row 1 is longer than {lines.MAX_LINE_BYTES} bytes: expected names of columns")
    if first.data.startswith(b"["):
        raise DataError(f"{file.path} is one JSON array: expected JSON lines, one object a line")
    return (JsonLines if first.data.startswith(b"{") else Delimited)(file, first, blocks)


def _choose(columns: Sequence[str], data: DataConfig) -> Reader:
    """The reader of the configured name; for "auto" the first that fits, or the one that comes nearest."""
    if data.columns:
        return reader_columns.from_map(data.columns)
    if data.format != AUTO:
        return READERS[data.format]
    fitting = [reader for reader in READERS.values() if reader.fits(columns) or reader.is_row(columns)]
    return fitting[0] if fitting else _nearest(columns)


def _nearest(columns: Sequence[str]) -> Reader:
    """The reader that has most of its columns, more than half of them; the plain one where there is none."""
    present = set(normalised(columns))
    shares = {name: len(present & set(reader.required)) / len(reader.required) for name, reader in READERS.items()}
    best = max(shares, key=lambda name: shares[name])
    return READERS[best if shares[best] > _NEAR else reader_plain.READER.name]


def _with_consent(rows: Rows, log: Log) -> Rows:
    if log.consent is None:
        return rows
    field, value = log.consent
    said = pc.utf8_lower(_values(rows, field, log, "data.consent"))
    return dataclasses.replace(rows, consent=pc.equal(said, value).to_numpy(zero_copy_only=False))


def _with_attributes(rows: Rows, log: Log) -> Rows:
    """The rows with the fields of `data.attributes` as texts; no other column of the log is carried on."""
    found = {field.name: _values(rows, field, log, "data.attributes") for field in log.attributes}
    return dataclasses.replace(rows, attributes=found)


def _values(rows: Rows, field: Field, log: Log, option: str) -> pa.Array:
    try:
        return fields.values(rows.columns, field)
    except TypeError as error:
        raise DataError(f"{log.file.path}: column {field.name} of {option} {error}") from error
