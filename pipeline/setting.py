"""One key of the configuration: its field, its bounds, and what is wrong with a value."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any


def setting(
    default: Any,
    meaning: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    pattern: str | None = None,
) -> Any:
    """A dataclass field with its meaning and what values it takes (bounds are included)."""
    metadata = {"meaning": meaning, "minimum": minimum, "maximum": maximum, "choices": choices, "pattern": pattern}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key of the configuration.

    `key` is "seed" or "section.name", `type` str, int, float, bool or tuple, `entry` the type of a tuple's entries or
    None.
    """

    key: str
    type: type
    entry: Any
    default: Any
    meaning: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...] | None
    pattern: str | None

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, in words, or None."""
        if not self._fits(value):
            return f"{self.key} must be {self._kind()}, received {value!r}"
        if not _is_finite(value):
            return f"{self.key} must be finite, received {value!r}"
        if self.minimum is not None and value < self.minimum:
            return f"{self.key} must be at least {self.minimum}, received {value!r}"
        if self.maximum is not None and value > self.maximum:
            return f"{self.key} must be at most {self.maximum}, received {value!r}"
        if self.choices and value not in self.choices:
            return f"{self.key} must be one of {', '.join(self.choices)}, received {value!r}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"{self.key} must match {self.pattern}, received {value!r}"
        return None

    def _fits(self, value: Any) -> bool:
        return _has_type(value, self.type) and (
            self.entry is None or all(_has_type(entry, self.entry) for entry in value)
        )

    def _kind(self) -> str:
        return f"a list of {_LIST_NAMES[self.entry]}" if self.entry else _TYPE_NAMES[self.type]


_TYPE_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_LIST_NAMES = {str: "texts", float: "numbers"}


def _is_finite(value: Any) -> bool:
    entries = value if isinstance(value, tuple) else (value,)
    return all(math.isfinite(entry) for entry in entries if isinstance(entry, float))


def _has_type(value: Any, kind: type | None) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is kind
