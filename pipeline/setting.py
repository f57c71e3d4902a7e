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
    """One key of the configuration: `key` is "seed" or "section.name", `type` str, int, float, bool or tuple."""

    key: str
    type: type
    default: Any
    meaning: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...] | None
    pattern: str | None

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, in words, or None."""
        if not _has_type(value, self.type):
            return f"{self.key} must be {_TYPE_NAMES[self.type]}, received {value!r}"
        if self.type is float and not math.isfinite(value):
            return f"{self.key} must be a finite number, received {value!r}"
        if self.minimum is not None and value < self.minimum:
            return f"{self.key} must be at least {self.minimum}, received {value!r}"
        if self.maximum is not None and value > self.maximum:
            return f"{self.key} must be at most {self.maximum}, received {value!r}"
        if self.choices and value not in self.choices:
            return f"{self.key} must be one of {', '.join(self.choices)}, received {value!r}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"{self.key} must match {self.pattern}, received {value!r}"
        return None


_TYPE_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "a list of texts",
}


def _has_type(value: Any, kind: type) -> bool:
    if kind is tuple:
        return isinstance(value, tuple) and all(isinstance(entry, str) for entry in value)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is kind
