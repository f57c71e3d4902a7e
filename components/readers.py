"""The formats that a log may have: the registry of readers, and a file's clicks by the reader that fits.

A new format is one small file that makes a `Reader` (see `reader_plain.py`) and one line in `READERS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nextclick.components import delimited, lines, reader_plain, reader_sessions
from nextclick.components.inputs import InputFile, read_chunks
from nextclick.components.reader import Reader, normalised
from nextclick.components.rows import Clicks
from nextclick.pipeline.errors import DataError

AUTO = "auto"
READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        reader_plain.READER,
        reader_sessions.READER,
    )
}


class Log(NamedTuple):
    """A file of which the head has been understood; `blocks` are the lines after the header."""

    file: InputFile
    reader: Reader
    layout: delimited.Layout
    wanted: list[str]
    blocks: Iterator[lines.Block]


def open_log(file: InputFile, format_name: str = AUTO) -> Log:
    """Looks at the head of a file.

    Raises:
        DataError: the file is empty, not text, not what its name says, or lacks a column.
    """
    blocks = lines.blocks(read_chunks(file))
    first = next(blocks)
    if not first.data:
        raise DataError(f"{file.path} is damaged: not even its first row can be unzipped, so get it anew")
    layout = delimited.Layout.of(file, _header(file, first.data))
    reader = _choose(layout.fields, format_name)
    wanted = reader.wanted(file, layout.fields)
    return Log(file, reader, layout, wanted, itertools.chain([first.without_first_line()], blocks))


def read_clicks(log: Log) -> Iterator[Clicks]:
    """The clicks and rejected rows of a file, batch by batch, in the file's order."""
    for rows in delimited.read(log.blocks, log.layout, normalised(log.layout.fields), log.wanted):
        yield log.reader.clicks(rows, log.file)


def _header(file: InputFile, data: bytes) -> bytes:
    header = data[: data.index(b"\n")]
    if len(header) > lines.MAX_LINE_BYTES:
        raise DataError(
            f"{file.path}, row 1 is longer than {lines.MAX_LINE_BYTES} bytes: expected a header of column names"
        )
    return header.rstrip(b"\r")


def _choose(columns: Sequence[str], format_name: str) -> Reader:
    """The reader of that name; for "auto" the first that fits, or the one that comes nearest."""
    if format_name != AUTO:
        return READERS[format_name]
    fitting = [reader for reader in READERS.values() if reader.fits(columns)]
    if fitting:
        return fitting[0]
    present = set(normalised(columns))
    return max(READERS.values(), key=lambda reader: len(present & set(reader.required)) / len(reader.required))
