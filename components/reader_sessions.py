"""One session a row, as weekly exports have it: `visit_date,product_sequence`.

The sequence is a list of product ids, separated by spaces, bars or commas, or written as a JSON or Python list. Rows
have no session id: `<file>:<row number>` takes its place. Clicks of a row have only their order; the n-th is given
the visit's time plus n - 1 milliseconds.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextclick.components import timestamps
from nextclick.components.inputs import InputFile
from nextclick.components.reader import Reader
from nextclick.components.rows import Clicks, Integers, Rows, accept

_SEPARATOR = "\n"  # no line of a file holds one; an id in a JSON list may, and is refused
_UNFIT = re.compile(r"[\r\n\0]")


def _clicks(rows: Rows, file: InputFile) -> Clicks:
    items, lengths = _split(rows.columns["product_sequence"])
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(row_of)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    visits = timestamps.milliseconds(rows.columns["visit_date"])[row_of]
    names = pc.binary_join_element_wise(file.name, pa.array(rows.numbers).cast(pa.string()), ":")
    return accept(
        rows,
        names.take(pa.array(row_of)),
        items,
        times_ms=np.where(visits == timestamps.BAD, visits, visits + position),
        row_of=row_of,
    )


def _split(texts: pa.Array) -> tuple[pa.Array, Integers]:
    """The ids of all sequences in one array, and how many each sequence has; one without ids has a single empty id."""
    texts = pc.utf8_trim_whitespace(texts)
    written_as_list = pc.match_substring_regex(texts, r"^[\[(].*[\])]$")
    joined = _joined(texts)
    if pc.any(written_as_list).as_py():
        literals = [_SEPARATOR.join(_parse_list(text)) for text in texts.filter(written_as_list).to_pylist()]
        joined = pc.replace_with_mask(joined, written_as_list, pa.array(literals, joined.type))
    lists = pc.split_pattern(joined, _SEPARATOR)
    lengths = np.asarray(pc.list_value_length(lists).to_numpy(zero_copy_only=False), np.int64)
    return lists.flatten(), lengths


def _joined(texts: pa.Array) -> pa.Array:
    """Sequences with one separator: the first of bar, comma and white space that occurs in each of them."""
    for looks, mark in ((r"\|", r"\s*\|\s*"), (",", r"\s*,\s*"), (r"\s", r"\s+")):
        marked = pc.and_not(pc.match_substring_regex(texts, looks), pc.match_substring(texts, _SEPARATOR))
        texts = pc.if_else(marked, pc.replace_substring_regex(texts, mark, _SEPARATOR), texts)
    return texts


def _parse_list(text: str) -> Sequence[str]:
    for parse in (json.loads, ast.literal_eval):
        try:
            values = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(values, (list, tuple)) and all(isinstance(value, (str, int)) for value in values):
            ids = [str(value) for value in values]
            return ids if ids and not any(_UNFIT.search(item) for item in ids) else [""]
    # Not quoted: [A1, B2]
    return [value.strip() for value in text[1:-1].split(",")]


READER = Reader(
    name="sessions",
    summary="one session a row: visit_date, product_sequence",
    required=("visit_date", "product_sequence"),
    optional=(),
    clicks=_clicks,
)
