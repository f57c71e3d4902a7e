"""Delimited text (comma, tab, semicolon or bar; CSV quoting) as columns, parsed by Arrow a block at a time.

A field may not hold a line break, quoted or not: ids with one could not pass through vocabularies and dead letters.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from nextclick.components.inputs import InputFile
from nextclick.components.lines import Block, screen
from nextclick.components.rows import Integers, Reject, Rows
from nextclick.pipeline.errors import DataError

_DELIMITERS = (",", "\t", ";", "|")
_BOM = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a delimited file is laid out: the fields of its first line and what separates them."""

    fields: tuple[str, ...]
    delimiter: str

    @classmethod
    def of(cls, file: InputFile, first_line: bytes) -> Layout:
        """Guesses the delimiter: the one that gives the most fields.

        Raises:
            DataError: the line is not text.
        """
        text = _decode(file, first_line)
        splits = ((next(csv.reader([text], delimiter=mark), []), mark) for mark in _DELIMITERS)
        fields, delimiter = max(splits, key=lambda split: len(split[0]))
        return cls(tuple(field.strip() for field in fields), delimiter)


def read(blocks: Iterable[Block], layout: Layout, names: Sequence[str], wanted: Iterable[str]) -> Iterator[Rows]:
    """Rows of blocks without a header.

    Args:
        blocks: whole lines.
        layout: delimiter and number of fields.
        names: name of each field.
        wanted: which of them become columns of `Rows`.
    """
    indices = {name: names.index(name) for name in wanted}
    pattern = _quoted_fields(layout.delimiter)
    for block in blocks:
        yield _parse(screen(block, pattern), layout, indices)


def _parse(block: Block, layout: Layout, indices: dict[str, int]) -> Rows:
    if not block.data:
        return Rows(
            {name: pa.array([], pa.large_string()) for name in indices}, np.empty(0, np.int64), _no_row, block.rejects
        )
    malformed: list[int] = []  # numbers of lines within the block, from 1

    def note(row: arrow_csv.InvalidRow) -> str:
        malformed.append(row.number)
        return "skip"

    table = _read_block(block.data, layout, sorted(set(indices.values())), note)
    numbers = np.delete(np.arange(table.num_rows + len(malformed)), np.array(malformed, np.int64) - 1)
    blank = _blank_rows(table, block.data, numbers)
    if len(blank):
        table, numbers = table.take(pa.array(np.delete(np.arange(len(numbers)), blank))), np.delete(numbers, blank)
    line = functools.cache(lambda: block.data.split(b"\n"))
    wrong_count = [
        Reject.of(block.first_row + number - 1, "wrong_column_count", line()[number - 1]) for number in malformed
    ]
    return Rows(
        {name: _column(table, str(index)) for name, index in indices.items()},
        numbers + block.first_row,
        lambda index: line()[numbers[index]],
        (*block.rejects, *wrong_count),
    )


def _read_block(data: bytes, layout: Layout, fields: list[int], note: arrow_csv.InvalidRow) -> pa.Table:
    names = [str(index) for index in range(len(layout.fields))]
    wanted = [str(index) for index in fields]
    # Not read_csv: on Python 3.10 it walks the whole heap at each call, which takes longer than a block does.
    reader = arrow_csv.open_csv(
        pa.BufferReader(data),
        # One thread: only then are the numbers of malformed rows known. One block: the caller cut it.
        arrow_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        arrow_csv.ParseOptions(delimiter=layout.delimiter, ignore_empty_lines=False, invalid_row_handler=note),
        arrow_csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(wanted, pa.large_string()),
            strings_can_be_null=False,
            check_utf8=False,  # `screen` did
        ),
    )
    return reader.read_all()


def _blank_rows(table: pa.Table, data: bytes, numbers: Integers) -> Integers:
    """Indices of the rows that stand for an empty line, int64 [b]: Arrow makes empty fields of it."""
    if not (data.startswith(b"\n") or b"\n\n" in data):
        return np.empty(0, np.int64)
    empty = functools.reduce(np.logical_and, (pc.binary_length(column).to_numpy() == 0 for column in table.columns))
    feeds = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    lengths = np.diff(feeds, prepend=-1) - 1
    return np.flatnonzero(empty & (lengths[numbers] == 0))


def _column(table: pa.Table, name: str) -> pa.Array:
    chunks = table.column(name).chunks
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays([pa.array([], pa.large_string()), *chunks])


def _no_row(index: int) -> bytes:
    raise IndexError(index)


@functools.cache
def _quoted_fields(delimiter: str) -> re.Pattern[bytes]:
    """What a line with quotation marks must look like for Arrow to end each field, and the row, where it ends."""
    mark = re.escape(delimiter.encode())
    field = rb'(?:"[^"]*(?:""[^"]*)*"|[^"' + mark + rb"][^" + mark + rb"]*|)"
    return re.compile(field + rb"(?:" + mark + field + rb")*", re.DOTALL)


def _decode(file: InputFile, line: bytes) -> str:
    line = line.removeprefix(_BOM)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if any(ord(letter) < 32 and letter != "\t" for letter in text):
        raise DataError(
            f"{file.path}, row 1 is not UTF-8 text: expected a click log as text, so convert or export it again"
        )
    return text
