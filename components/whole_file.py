"""A file that has its name only once it is whole, so that a worker that dies, or fails, leaves none behind."""

from __future__ import annotations

import contextlib
import posixpath
import uuid
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def written(path: str, temporary_folder: str) -> Iterator[str]:
    """Yields where to write; what lies there when the block ends without an error becomes `path`.

    Both folders are made where they are missing; they must be of one file system.
    """
    unfinished = posixpath.join(temporary_folder, uuid.uuid4().hex)
    tf.io.gfile.makedirs(temporary_folder)
    yield unfinished
    tf.io.gfile.makedirs(posixpath.dirname(path))
    tf.io.gfile.rename(unfinished, path, overwrite=True)
