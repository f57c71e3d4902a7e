"""A field of a row that an option names: a column or, where that holds objects, a path into it: device.category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from nextclick.components.inputs import InputFile
from nextclick.components.rows import text
from nextclick.components.source import Source, normalised
from nextclick.pipeline.errors import DataError


class Field(NamedTuple):
    """The name that the option has for it, its column, and the keys that lead from there to its value."""

    name: str
    column: str
    path: tuple[str, ...] = ()


def find(file: InputFile, source: Source, name: str, option: str) -> Field:
    """The field of that name; a column that is called so as a whole goes before a path.

    Raises:
        DataError: there is none; of a file of JSON lines the first object must have it.
    """
    name, present = name.strip().lower(), normalised(source.columns)
    if name in present:
        return Field(name, name)
    column, *path = name.split(".")
    if path and column in present and source.has_path(column, path):
        return Field(name, column, tuple(path))
    raise DataError(
        f"{file.path}, row 1: column {name} of {option} is missing; found {', '.join(source.columns)[:200]}"
    )


def nested_types(fields: Iterable[Field]) -> dict[str, pa.DataType]:
    """Type of each column of objects that the fields lead into, with their values as texts alone."""
    paths: dict[str, list[Field]] = {}
    for field in fields:
        if field.path:
            paths.setdefault(field.column, []).append(Field(field.name, field.path[0], field.path[1:]))
    return {column: _struct(inner) for column, inner in paths.items()}


def _struct(fields: list[Field]) -> pa.DataType:
    deeper = nested_types(fields)
    return pa.struct(
        [(name, deeper.get(name, pa.string())) for name in dict.fromkeys(field.column for field in fields)]
    )


def values(columns: Mapping[str, pa.Array], field: Field) -> pa.Array:
    """A field's values, large_string [rows]; what is missing is an empty text.

    Raises:
        TypeError: they are lists or objects.
    """
    found = columns[field.column]
    for key in field.path:
        found = pc.struct_field(found, [found.type.get_field_index(key)])
    if pa.types.is_nested(found.type):
        raise TypeError("holds lists or objects, expected texts")
    return text(found)
