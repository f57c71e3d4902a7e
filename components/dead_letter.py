"""Where rejected rows go: JSON lines with file, row number, reason and text, one file a file of the log."""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import tensorflow as tf

from nextclick.components import whole_file
from nextclick.components.inputs import InputFile
from nextclick.components.rows import Reject


class DeadLetter:
    """Rejected rows of one file of a log (see whole_file.py); nothing is written where there are none."""

    def __init__(self, folder: str, temporary_folder: str, number: int, file: InputFile) -> None:
        self._path = posixpath.join(folder, f"{number:05d}-{posixpath.basename(file.name)}.jsonl")
        self._temporary_folder = temporary_folder
        self._name = file.path
        self._opened = contextlib.ExitStack()
        self._stream: Any = None

    def __enter__(self) -> DeadLetter:
        return self

    def add(self, rejects: Iterable[Reject]) -> None:
        """Appends rows."""
        for reject in rejects:
            if self._stream is None:
                unfinished = self._opened.enter_context(whole_file.written(self._path, self._temporary_folder))
                self._stream = self._opened.enter_context(tf.io.gfile.GFile(unfinished, "w"))
            entry = {"file": self._name, "row": reject.row, "reason": reject.reason, "text": reject.text}
            self._stream.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)
