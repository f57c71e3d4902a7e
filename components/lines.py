"""A stream of bytes, cut into blocks of whole lines; lines that no parser could read right are taken out.

A row's number is that of its line, counted from 1 as an editor counts, the header included.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator

from nextclick.components.inputs import TruncatedInputError
from nextclick.components.rows import Reject

MAX_LINE_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class Block:
    """Whole lines, each ended by a line feed; `first_row` is the number of the first; rejects of its lines."""

    data: bytes
    first_row: int
    rejects: tuple[Reject, ...] = ()

    def without_first_line(self) -> Block:
        """What follows a header."""
        return Block(self.data[self.data.index(b"\n") + 1 :], self.first_row + 1, self.rejects)


def blocks(chunks: Iterable[bytes]) -> Iterator[Block]:
    """Cuts chunks at line ends. A line beyond `MAX_LINE_BYTES` is shortened to that and one byte, for `screen`.

    A stream that ends in `TruncatedInputError` gives its last, incomplete line as a reject `truncated_file`.
    """
    row, carry, skipping = 1, b"", False
    try:
        for chunk in chunks:
            if skipping:  # drop the rest of an overlong line, up to its line feed
                end = chunk.find(b"\n")
                if end < 0:
                    continue
                chunk, skipping = chunk[end:], False
            data = carry + chunk if row > 1 or carry else chunk.removeprefix(_BYTE_ORDER_MARK)
            end = data.rfind(b"\n") + 1
            carry = data[end:]
            if len(carry) > MAX_LINE_BYTES:
                carry, skipping = carry[: MAX_LINE_BYTES + 1], True
            if end:
                yield Block(data[:end], row)
                row += data.count(b"\n", 0, end)
    except TruncatedInputError:
        yield Block(b"", row, (Reject.of(row, "truncated_file", carry),))
    else:
        if carry:
            yield Block(carry + b"\n", row)


def screen(block: Block, quoted_fields: re.Pattern[bytes] | None = None) -> Block:
    """Empties the lines that would mislead a parser and lists them as rejects; line ends become line feeds.

    Args:
        block: whole lines.
        quoted_fields: what a line with quotation marks must match as a whole; None: quotation marks mean nothing.
    """
    data = block.data.replace(b"\r\n", b"\n") if b"\r\n" in block.data else block.data
    if _is_harmless(data, quoted_fields is not None):
        return dataclasses.replace(block, data=data)
    lines, rejects = data.split(b"\n"), list(block.rejects)
    for index, line in enumerate(lines):
        reason = _problem(line, quoted_fields)
        if reason:
            rejects.append(Reject.of(block.first_row + index, reason, line))
            lines[index] = b""
    return Block(b"\n".join(lines), block.first_row, tuple(rejects))


def _is_harmless(data: bytes, quotes_matter: bool) -> bool:
    if b"\0" in data or b"\r" in data or (quotes_matter and b'"' in data):
        return False
    return _is_utf8(data) and not _has_long_line(data)


def _problem(line: bytes, quoted_fields: re.Pattern[bytes] | None) -> str | None:
    if len(line) > MAX_LINE_BYTES:
        return "line_too_long"
    if b"\0" in line:
        return "nul_byte"
    if b"\r" in line:
        return "carriage_return"
    if not _is_utf8(line):
        return "not_utf8"
    if quoted_fields is not None and b'"' in line and not quoted_fields.fullmatch(line):
        return "unbalanced_quotes"
    return None


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _has_long_line(data: bytes) -> bool:
    """Whether a line is longer than `MAX_LINE_BYTES`, found by jumping from line feed to line feed."""
    start = 0
    while len(data) - start > MAX_LINE_BYTES:
        feed = data.rfind(b"\n", start, start + MAX_LINE_BYTES + 1)
        if feed < 0:
            return True
        start = feed + 1
    return False
