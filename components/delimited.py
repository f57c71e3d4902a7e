"""Delimited text (comma, tab, semicolon or bar; CSV quoting) as columns, parsed by Arrow a block at a time.

A field may not hold a line break, quoted or not: ids with one could not pass through vocabularies and dead letters.
"""

from __future__ import annotations

import csv
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from nextclick.components.inputs import InputFile
from nextclick.components.lines import Block, screen
from nextclick.components.rows import Integers, Reject, Rows
from nextclick.components.source import normalised
from nextclick.pipeline.errors import DataError

_DELIMITERS = (",", "\t", ";", "|")


class Delimited:
    """A file whose first line names its columns, or, after `with_names`, a file without such a line."""

    def __init__(self, file: InputFile, first: Block, others: Iterator[Block]) -> None:
        """Looks at the first line.

        Raises:
            DataError: it is not text.
        """
        self._first, self._others = first, others
        self.columns: Sequence[str]
        self.columns, self._delimiter = _fields(file, first.data[: first.data.index(b"\n")].rstrip(b"\r"))
        self._has_header = True

    def with_names(self, names: Sequence[str]) -> Delimited:
        """The same file; its first line is a row like the others and the columns are called so."""
        self.columns, self._has_header = names, False
        return self

    def has_path(self, column: str, path: Sequence[str]) -> bool:
        """See `source.Source`; no field holds more than a text."""
        del column, path
        return False

    def rows(self, wanted: Sequence[str], nested: Mapping[str, pa.DataType]) -> Iterator[Rows]:
        """See `source.Source`."""
        del nested  # no field holds more than a text
        names = normalised(self.columns)
        first = self._first.without_first_line() if self._has_header else self._first
        indices = {name: names.index(name) for name in wanted if name in names}
        pattern = _quoted_fields(self._delimiter)
        for block in itertools.chain([first], self._others):
            yield self._parse(screen(block, pattern), indices)

    def _parse(self, block: Block, indices: dict[str, int]) -> Rows:
        if not block.data:
            return Rows(dict.fromkeys(indices, _NOTHING), np.empty(0, np.int64), lambda _: b"", block.rejects)
        malformed: list[int] = []  # numbers of lines within the block, from 1
        table = self._read(block.data, sorted(set(indices.values())), malformed)
        places = np.delete(np.arange(table.num_rows + len(malformed)), np.array(malformed, np.int64) - 1)
        blank = _blank_rows(table, block.data, places)
        if len(blank):
            table = table.take(pa.array(np.delete(np.arange(len(places)), blank)))
            places = np.delete(places, blank)
        line = functools.cache(lambda: block.data.split(b"\n"))
        wrong_count = (
            Reject.of(block.first_row + number - 1, "wrong_column_count", line()[number - 1]) for number in malformed
        )
        return Rows(
            {name: _one_array(table.column(str(index))) for name, index in indices.items()},
            places + block.first_row,
            lambda index: line()[places[index]],
            (*block.rejects, *wrong_count),
        )

    def _read(self, data: bytes, fields: list[int], malformed: list[int]) -> pa.Table:
        names = [str(index) for index in range(len(self.columns))]
        wanted = [str(index) for index in fields]
        # Not read_csv: on Python 3.10 it walks the whole heap at each call, which takes longer than a block does.
        reader = arrow_csv.open_csv(
            pa.BufferReader(data),
            # One thread: only then are the numbers of malformed rows known. One block: the caller cut it.
            arrow_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            arrow_csv.ParseOptions(
                delimiter=self._delimiter, ignore_empty_lines=False, invalid_row_handler=_note_in(malformed)
            ),
            arrow_csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.large_string()),
                strings_can_be_null=False,
                check_utf8=False,  # `screen` did
            ),
        )
        return reader.read_all()


_NOTHING = pa.array([], pa.large_string())


def _fields(file: InputFile, line: bytes) -> tuple[list[str], str]:
    """The fields of a line and what separates them: the delimiter that gives the most."""
    text = _decode(file, line)
    splits = ((next(csv.reader([text], delimiter=mark), []), mark) for mark in _DELIMITERS)
    fields, delimiter = max(splits, key=lambda split: len(split[0]))
    return [field.strip() for field in fields], delimiter


def _decode(file: InputFile, line: bytes) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if any(ord(letter) < 32 and letter != "\t" for letter in text):
        raise DataError(
            f"{file.path}, row 1 is not UTF-8 text: expected a click log as text, so convert or export it again"
        )
    return text


def _note_in(malformed: list[int]) -> Callable[[arrow_csv.InvalidRow], str]:
    def note(row: arrow_csv.InvalidRow) -> str:
        malformed.append(row.number)
        return "skip"

    return note


def _blank_rows(table: pa.Table, data: bytes, places: Integers) -> Integers:
    """Indices of the rows that stand for an empty line, int64 [b]: Arrow makes empty fields of it."""
    if not (data.startswith(b"\n") or b"\n\n" in data):
        return np.empty(0, np.int64)
    empty = functools.reduce(np.logical_and, (pc.binary_length(column).to_numpy() == 0 for column in table.columns))
    feeds = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    lengths = np.diff(feeds, prepend=-1) - 1
    return np.flatnonzero(empty & (lengths[places] == 0))


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([_NOTHING, *column.chunks])


@functools.cache
def _quoted_fields(delimiter: str) -> re.Pattern[bytes]:
    """What a line with quotation marks must look like for Arrow to end each field, and the row, where it ends."""
    mark = re.escape(delimiter.encode())
    field = rb'(?:"[^"]*(?:""[^"]*)*"|[^"' + mark + rb"][^" + mark + rb"]*|)"
    return re.compile(field + rb"(?:" + mark + field + rb")*", re.DOTALL)
