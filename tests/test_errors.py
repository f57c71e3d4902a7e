"""If this failed, a wrong input file would reach the user as a Beam traceback instead of one sentence."""

from __future__ import annotations

import apache_beam as beam
import pytest

from nextclick.pipeline.errors import DataError, find_data_error

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def _refuse(row: int) -> int:
    raise DataError("clicks.csv, row 3: no such column 'item'")


def test_sentence_survives_a_beam_worker() -> None:
    pipeline = beam.Pipeline(argv=[f"--runner={RUNNER}"])
    pipeline | beam.Create([1]) | "Refuse it" >> beam.Map(_refuse)
    with pytest.raises(Exception, match="no such column") as caught:
        pipeline.run()
    found = find_data_error(caught.value)
    assert isinstance(found, DataError)
    assert str(found) == "clicks.csv, row 3: no such column 'item'"


def test_sentence_survives_as_text_of_a_traceback() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "ingest.py", line 5, in process\n'
        "nextclick.pipeline.errors.DataError: a.csv is empty [while running 'Read-ptransform-12']\n"
    )
    assert str(find_data_error(RuntimeError(text))) == "a.csv is empty"


def test_cause_is_found_through_the_chain() -> None:
    error = RuntimeError("component failed")
    error.__cause__ = DataError("x.csv is empty")
    assert str(find_data_error(error)) == "x.csv is empty"
    error = RuntimeError("while handling another")
    error.__context__ = DataError("y.csv is empty")
    assert str(find_data_error(error)) == "y.csv is empty"


def test_other_errors_are_left_alone() -> None:
    assert find_data_error(RuntimeError("disk full")) is None
    assert find_data_error(KeyError("DataErrors")) is None
