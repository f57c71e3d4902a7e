"""Where rejected rows go: JSON lines with file, row number, reason and text, one file a file of the log."""

from __future__ import annotations

import json
import posixpath
import uuid
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import tensorflow as tf

from nextclick.components.inputs import InputFile
from nextclick.components.rows import Reject


class DeadLetter:
    """Rejected rows of one file of a log; nothing is written where there are none.

    The file gets its name when all rows are in it, so that a worker that dies leaves nothing behind.
    """

    def __init__(self, folder: str, temporary_folder: str, number: int, file: InputFile) -> None:
        self._path = posixpath.join(folder, f"{number:05d}-{posixpath.basename(file.name)}.jsonl")
        self._unfinished = posixpath.join(temporary_folder, uuid.uuid4().hex)
        self._name = file.path
        self._stream: Any = None

    def __enter__(self) -> DeadLetter:
        return self

    def add(self, rejects: Iterable[Reject]) -> None:
        """Appends rows."""
        for reject in rejects:
            if self._stream is None:
                tf.io.gfile.makedirs(posixpath.dirname(self._unfinished))
                self._stream = tf.io.gfile.GFile(self._unfinished, "w")
            entry = {"file": self._name, "row": reject.row, "reason": reject.reason, "text": reject.text}
            self._stream.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            tf.io.gfile.makedirs(posixpath.dirname(self._path))
            tf.io.gfile.rename(self._unfinished, self._path, overwrite=True)
