"""Click logs written and read in tests: rows in, plain Python values out."""

from __future__ import annotations

import collections
import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nextclick.components import inputs, readers
from nextclick.pipeline.config import DataConfig

HEADER = "session_id,item_id,timestamp"

Click = tuple[str, str, int, str]


def write(path: Path, content: str | bytes | Iterable[str]) -> Path:
    """A file of text, bytes or lines; gzip where its name says so."""
    if not isinstance(content, (str, bytes)):
        content = "".join(f"{line}\n" for line in content)
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read(path: Path, **data: Any) -> tuple[list[Click], list[tuple[int, str, str]]]:
    """Clicks (session, item, milliseconds, type) and rejects (row, reason, text) of a file."""
    (file,) = inputs.expand_inputs([str(path)])
    clicks: list[Click] = []
    rejects: list[tuple[int, str, str]] = []
    for found in readers.read_clicks(readers.open_log(file, DataConfig(**data))):
        rejects += [tuple(reject) for reject in found.rejects]
        for session, item, time, kind, _ in zip(*found.batch.to_pydict().values(), strict=True):
            clicks.append((session.decode(), item.decode(), time, kind.decode()))
    return clicks, sorted(rejects)


def dropped(path: Path, **data: Any) -> dict[str, int]:
    """Rows that the reader says need not be clicks, by reason."""
    (file,) = inputs.expand_inputs([str(path)])
    counts: collections.Counter[str] = collections.Counter()
    for found in readers.read_clicks(readers.open_log(file, DataConfig(**data))):
        counts.update(found.dropped)
    return dict(counts)
