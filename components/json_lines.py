"""JSON lines (one object a line) as columns, parsed by Arrow a block at a time.

Arrow reads a block only if every line is an object and every column has one type. Where that is not so, the lines of
that block are parsed one by one: what is no object is rejected, and numbers become texts, which any column can hold.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from nextclick.components.inputs import InputFile
from nextclick.components.lines import Block, screen
from nextclick.components.rows import Reject, Rows
from nextclick.components.source import normalised
from nextclick.pipeline.errors import DataError


class JsonLines:
    """A file of objects; the first one's keys are the columns."""

    def __init__(self, file: InputFile, first: Block, others: Iterator[Block]) -> None:
        """Looks at the first line.

        Raises:
            DataError: it is no JSON object.
        """
        self._first, self._others = first, others
        self._example = _first_object(file, first.data)
        self.columns: Sequence[str] = list(self._example)

    def has_path(self, column: str, path: Sequence[str]) -> bool:
        """See `source.Source`; the first object's value may be null."""
        found = self._example[self.columns[normalised(self.columns).index(column)]]
        for key in path:
            if not isinstance(found, dict) or key not in found:
                return False
            found = found[key]
        return True

    def rows(self, wanted: Sequence[str], nested: Mapping[str, pa.DataType]) -> Iterator[Rows]:
        """See `source.Source`; a wanted column that the first object lacks is there, in case others have it."""
        names = dict(zip(normalised(self.columns), self.columns, strict=True))
        examples = {name: self._example.get(names.get(name, name)) for name in wanted}
        schema = pa.schema(
            [
                (names.get(name, name), nested.get(name) or _SCALARS.get(type(example), pa.string()))
                for name, example in examples.items()
            ]
        )
        for block in itertools.chain([self._first], self._others):
            yield _parse(screen(block), schema)


_SCALARS: dict[type, pa.DataType] = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _first_object(file: InputFile, data: bytes) -> dict[str, Any]:
    line = data[: data.index(b"\n")]
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not value:
        raise DataError(f"{file.path}, row 1 is no JSON object: expected JSON lines, one object a line")
    return value


def _parse(block: Block, schema: pa.Schema) -> Rows:
    lines = block.data.split(b"\n")
    places = np.array([place for place, line in enumerate(lines) if line.strip()], np.int64)
    table = _read(block.data, schema, len(places))
    rejects = list(block.rejects)
    if table is None:
        kept, objects = [], []
        for place in places:
            value = _object(lines[place], schema.names)
            if value is None:
                rejects.append(Reject.of(block.first_row + int(place), "not_a_json_object", lines[place]))
            else:
                kept.append(place)
                objects.append(value)
        textual = pa.schema([(field.name, _as_texts(field.type)) for field in schema])
        table, fitting = _read_those_that_fit(objects, textual)
        for place in np.array(kept, np.int64)[~fitting]:
            rejects.append(Reject.of(block.first_row + int(place), "wrong_json_type", lines[place]))
        places = np.array(kept, np.int64)[fitting]
    return Rows(_columns(table), places + block.first_row, lambda index: lines[places[index]], tuple(rejects))


def _columns(table: pa.Table) -> dict[str, pa.Array]:
    names = normalised(table.column_names)
    return {name: pa.concat_arrays(column.chunks) for name, column in zip(names, table.columns, strict=True)}


def _read(data: bytes, schema: pa.Schema, rows: int) -> pa.Table | None:
    """The table of a block, with a chunk for each column; None where some line is not as the schema says."""
    if not rows:
        return pa.Table.from_batches([pa.RecordBatch.from_pylist([], schema)])
    try:
        table = arrow_json.read_json(
            pa.BufferReader(data),
            arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            arrow_json.ParseOptions(
                explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="ignore"
            ),
        )
    except pa.ArrowInvalid:
        return None
    return table if table.num_rows == rows else None  # two objects in a line


def _object(line: bytes, names: Sequence[str]) -> bytes | None:
    """A line with the wanted keys alone and texts for numbers; None where it is no object."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return json.dumps({name: _texts(value[name]) for name in names if name in value}).encode()


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_texts(part) for part in value]
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _as_texts(kind: pa.DataType) -> pa.DataType:
    """A type with texts for numbers."""
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _as_texts(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_as_texts(kind.value_type))
    return pa.string()


def _read_those_that_fit(objects: Sequence[bytes], schema: pa.Schema) -> tuple[pa.Table, Any]:
    """A table of the objects that have the schema's types, and which those are, bool [objects].

    Halves what cannot be read until the objects that do not fit stand alone.
    """
    table = _read(b"\n".join(objects), schema, len(objects))
    if table is not None:
        return table, np.ones(len(objects), np.bool_)
    if len(objects) == 1:
        return _read(b"", schema, 0), np.zeros(1, np.bool_)
    half = len(objects) // 2
    parts = [_read_those_that_fit(part, schema) for part in (objects[:half], objects[half:])]
    return pa.concat_tables([part for part, _ in parts]), np.concatenate([fitting for _, fitting in parts])
