"""What a person sees while the pipeline runs: a line a component; everything else goes to the run's log file."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from absl import logging as absl_logging

# Messages of TFX's local runner and launcher, in both supported versions.
_STARTS, _ENDS = "Component %s is running.", "Component %s is finished."
_CACHED = "A cached execution %d is used."


class ComponentProgress(logging.Handler):
    """Turns the local runner's log records into a line for each component."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.INFO)
        self._stream = stream
        self._started = 0.0
        self._cached = False

    def emit(self, record: logging.LogRecord) -> None:
        """Writes when a component ends, with its seconds or that it came from the cache."""
        message = str(record.msg)
        if message == _STARTS:
            self._started, self._cached = time.monotonic(), False
        elif message == _CACHED:
            self._cached = True
        elif message == _ENDS and isinstance(record.args, tuple):
            took = "from the cache" if self._cached else f"{time.monotonic() - self._started:6.1f} s"
            self.say(f"  {record.args[0]!s:<24} {took}")

    def say(self, line: str) -> None:
        """Writes one line at once."""
        print(line, file=self._stream, flush=True)


@contextlib.contextmanager
def logged_to(path: Path) -> Iterator[ComponentProgress]:
    """Sends all logging to a file and a line a component to stderr while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    everything = logging.FileHandler(path, encoding="utf-8")
    everything.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    progress = ComponentProgress(sys.stderr)
    root, absl, tensorflow = (logging.getLogger(name) for name in (None, "absl", "tensorflow"))
    kept = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in (root, absl, tensorflow)]
    root.handlers, absl.handlers, tensorflow.handlers = [everything], [everything, progress], [everything]
    root.setLevel(logging.WARNING)
    verbosity = absl_logging.get_verbosity()
    # By absl's own setter: TensorFlow reads it before it saves a model, and puts it back afterwards.
    absl_logging.set_verbosity(absl_logging.INFO)
    absl.propagate = tensorflow.propagate = False
    logging.captureWarnings(True)
    try:
        yield progress
    finally:
        logging.captureWarnings(False)
        absl_logging.set_verbosity(verbosity)
        for logger, handlers, level, propagate in kept:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        everything.close()
