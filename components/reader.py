"""What a reader of a log's format is, and how its columns are found in a file."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from nextclick.components.inputs import InputFile
from nextclick.components.rows import Clicks, Rows
from nextclick.components.source import normalised
from nextclick.pipeline.errors import DataError


@dataclasses.dataclass(frozen=True)
class Reader:
    """A format of click logs.

    Attributes:
        name: what `--format` calls it.
        summary: what a row is, in a few words.
        required: columns that a file must have; names are compared without case.
        optional: columns that are used where they are.
        clicks: makes clicks of a batch of rows that holds the required and the present optional columns.
        of_users: the clicks' session ids are user ids, whose clicks are cut into sessions where there is a gap.
        nested: type of each column that holds lists or objects, in JSON lines.
        header: names of the fields of a file without a header.
        is_row: whether the fields of a first line are those of a row of a file without a header.
    """

    name: str
    summary: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    clicks: Callable[[Rows, InputFile], Clicks]
    of_users: bool = False
    nested: Mapping[str, pa.DataType] = dataclasses.field(default_factory=dict)
    header: tuple[str, ...] = ()
    is_row: Callable[[Sequence[str]], bool] = lambda fields: False

    def fits(self, columns: Sequence[str]) -> bool:
        """Whether a file with these columns can be read."""
        return set(self.required) <= set(normalised(columns))

    def wanted(self, file: InputFile, columns: Sequence[str]) -> list[str]:
        """The required and the optional columns, by their normalised names.

        Raises:
            DataError: a required column is missing, or one is there twice.
        """
        present = normalised(columns)
        missing = [name for name in self.required if name not in present]
        if missing:
            raise DataError(self._missing(file, missing, columns))
        wanted = [*self.required, *self.optional]
        twice = [name for name in wanted if present.count(name) > 1]
        if twice:
            raise DataError(f"{file.path}, row 1 has the column {twice[0]} more than once: expected each column once")
        return wanted

    def _missing(self, file: InputFile, missing: Sequence[str], columns: Sequence[str]) -> str:
        near = difflib.get_close_matches(missing[0], normalised(columns), n=1, cutoff=0.5)
        hint = f" (nearest: {near[0]})" if near else ""
        listed = ", ".join(columns)[:200] or "nothing"
        return (
            f"{file.path}, row 1: column {missing[0]} is missing{hint}; found {listed}, "
            f"expected {', '.join(self.required)}: rename the columns or name another --format"
        )
