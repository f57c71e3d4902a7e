"""What can go wrong, as types, and the exit code that each one becomes.

    NextclickError            1  anything of ours that has no better name
    ├── ConfigError           2  a setting, an option or a preset is wrong
    ├── DataError             2  the input is wrong: names file, row, column where there is one
    └── ServingError          1  a server or a model could not be reached, loaded or asked

A model that the gate refuses is a result, not an error: `nextclick run` then returns 3.

Each message is one sentence: what is wrong, where, what was expected, what to do.
`pipeline/cli.py` alone turns them into a line on stderr and an exit code.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator


class NextclickError(Exception):
    """Base of every error that is reported without a stack trace."""

    exit_code = 1


class ConfigError(NextclickError):
    """A wrong setting, option or preset."""

    exit_code = 2


class DataError(NextclickError):
    """Wrong input data."""

    exit_code = 2


class ServingError(NextclickError):
    """A model or a server that cannot be loaded, reached or asked."""


@contextlib.contextmanager
def only_data_error() -> Iterator[None]:
    """Raises in place of what Beam or TFX made of a DataError that DataError again; all else passes."""
    try:
        yield
    except Exception as error:
        cause = find_data_error(error)
        if cause is None:
            raise
        raise cause from None


def find_data_error(error: BaseException) -> DataError | None:
    """The DataError that another exception was raised from, or that its text quotes; None where there is none.

    Beam adds the step to the message of what a worker raised ("the sentence [while running 'Step']"), and a worker in
    another process reports no more than the text of a traceback; both are undone here.
    """
    for link in _chain(error):
        if isinstance(link, DataError):
            return DataError(_BEAM_STEP.sub("", str(link)))
    for link in _chain(error):
        quoted = re.findall(r"^.*\bDataError: (.+)$", str(link), re.MULTILINE)
        if quoted:
            return DataError(_BEAM_STEP.sub("", quoted[-1]))
    return None


_BEAM_STEP = re.compile(r" \[while running '[^\n]*$")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
