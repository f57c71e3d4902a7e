"""A log that grows by a file, or a folder, a period: `{SPAN}` in a path stands for the number of the period.

clicks/week-{SPAN}.csv          every week; with data.spans=4 the newest four
clicks/{SPAN}/v{VERSION}/*.csv  of each span only the newest version
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from nextclick.pipeline.config import DataConfig
from nextclick.pipeline.errors import DataError

SPAN, VERSION = "{SPAN}", "{VERSION}"


def has_span(path: str) -> bool:
    """Whether a path has a place for a span's number."""
    return SPAN in path


def are_compared(data: DataConfig) -> bool:
    """Whether a log comes in spans of which more than one may be read, so that there is drift between them."""
    return data.spans != 1 and any(map(has_span, data.paths))


def number(path: str, name: str) -> int:
    """The span of a file that `in_window` found for a path."""
    found = re.fullmatch(_pattern(path), name)
    if found is None:
        raise ValueError(f"{name} is not called as {path} says")
    return int(found["span"])


def in_window(path: str, data: DataConfig, match: Callable[[str], dict[str, int]]) -> dict[str, int]:
    """The files of a path with `{SPAN}` that belong to the wanted spans.

    Args:
        path: with `{SPAN}`, perhaps with `{VERSION}`.
        data: `spans`, how many spans are wanted at most, and `last_span`, the newest of them.
        match: files and their sizes by a glob.

    Raises:
        DataError: there is no span, not the wanted last one, or fewer than wanted.
    """
    looks, sizes = re.compile(_pattern(path)), match(_glob(path))
    numbered = {name: found for name in sizes if (found := looks.fullmatch(name))}
    spans = sorted({int(found["span"]) for found in numbered.values()})
    wanted = _wanted(path, spans, data)
    newest = _newest_versions(numbered.values())
    return {
        name: sizes[name]
        for name, found in numbered.items()
        if int(found["span"]) in wanted and _version(found) == newest[int(found["span"])]
    }


def _wanted(path: str, spans: list[int], data: DataConfig) -> list[int]:
    if not spans:
        raise DataError(f"no file is called as {path} says, with a whole number for {SPAN}: check the path")
    last = spans[-1] if data.last_span < 0 else data.last_span
    if last not in spans:
        raise DataError(f"span {last} of {path} is not there, the newest is {spans[-1]}: is its file late?")
    upto = [span for span in spans if span <= last]
    if len(upto) < data.spans:
        raise DataError(f"{path} has {len(upto)} spans up to {last}: expected data.spans={data.spans} of them")
    return upto[-data.spans :]


def _newest_versions(found: Iterable[re.Match[str]]) -> dict[int, int]:
    newest: dict[int, int] = {}
    for match in found:
        span = int(match["span"])
        newest[span] = max(newest.get(span, 0), _version(match))
    return newest


def _version(found: re.Match[str]) -> int:
    return int(found.groupdict().get("version") or 0)


def _glob(path: str) -> str:
    return path.replace(SPAN, "*").replace(VERSION, "*")


def _pattern(path: str) -> str:
    """A regular expression for the names that a path stands for; later places repeat the first one's number."""
    pattern = re.escape(path).replace(re.escape("*"), "[^/]*").replace(re.escape("?"), "[^/]")
    for place, name in ((SPAN, "span"), (VERSION, "version")):
        first, *others = pattern.split(re.escape(place))
        for index, other in enumerate(others):
            first += (rf"(?P<{name}>[0-9]+)" if index == 0 else rf"(?P={name})") + other
        pattern = first
    return pattern
