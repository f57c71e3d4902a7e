"""Evaluator's Beam pipeline: test sessions with the baselines' ranks → predictions → packs → TFMA's metrics and checks.

What TFX's own executor does with the same public parts of TFMA, but a row is a pack of sessions that lie in the same
slices, from reading on: TFX's takes each session through Python, Beam and the slices by itself, which for a small
catalogue cost more than the predictions (docs/benchmarks.md).
"""

from __future__ import annotations

import collections
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from nextclick.components.columns import column

# Sessions that are asked at once: their recommended lists are held as well, 80 bytes a prediction.
_BATCH = 1000


def build(
    root: Any, models: Mapping[str, str], eval_config: config_pb2.EvalConfig, files: Sequence[str], output: str
) -> None:
    """Adds all steps to a pipeline.

    Args:
        root: the pipeline.
        models: folder of the SavedModel of each of the EvalConfig's models, by name.
        eval_config: with TFMA's defaults filled in.
        files: gzip TFRecord files that BaselineRanks wrote.
        output: folder of TFMA's results.
    """
    shared = [
        tfma.default_eval_shared_model(eval_saved_model_path=path, model_name=name, eval_config=eval_config)
        for name, path in models.items()
    ]
    keys = sorted({key for spec in eval_config.slicing_specs for key in spec.feature_keys})
    extractors = [
        _extractor("ReadInput", beam.Map(_with_input)),
        tfma.extractors.PredictionsExtractor(eval_config=eval_config, eval_shared_model=shared),
        _extractor("PackSessions", beam.FlatMap(packs, keys)),
        tfma.extractors.SliceKeyExtractor(eval_config=eval_config, materialize=False),
    ]
    _ = (
        root
        | "Files" >> beam.Create(list(files), reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "ReadSessions" >> beam.FlatMap(read)
        | "Evaluate"
        >> tfma.ExtractEvaluateAndWriteResults(
            eval_shared_model=shared if len(shared) > 1 else shared[0],
            eval_config=eval_config,
            extractors=extractors,
            writers=_writers(eval_config, output, models),
        )
    )


def read(path: str) -> Iterator[pa.RecordBatch]:
    """A TFRecord file → record batches of its tf.Examples' features and of the tf.Examples themselves."""
    decoder = ExamplesToRecordBatchDecoder()
    for batch in tf.data.TFRecordDataset(path, compression_type="GZIP").batch(_BATCH).as_numpy_iterator():
        serialized = batch.tolist()
        decoded = decoder.DecodeBatch(serialized)
        raw = pa.array([[example] for example in serialized], pa.large_list(pa.large_binary()))
        names = [*decoded.schema.names, tfma.ARROW_INPUT_COLUMN]
        yield pa.RecordBatch.from_arrays([*decoded.columns, raw], names)


def packs(extracts: Mapping[str, Any], keys: Iterable[str]) -> Iterator[dict[str, Any]]:
    """A batch of sessions with predictions → for each combination of slices that occurs, extracts of its sessions.

    The features are those that are sliced by, one value each; the sessions themselves stay in the record batch.
    """
    batch, predictions = extracts[tfma.ARROW_RECORD_BATCH_KEY], extracts[tfma.PREDICTIONS_KEY]
    found = {key: column(batch, key) for key in keys}
    columns = {key: values for key, (values, lengths) in found.items() if len(values) == batch.num_rows}
    rows = collections.defaultdict(list)
    for row, values in enumerate(zip(*(values.tolist() for values in columns.values()), strict=True)):
        rows[values].append(row)
    for values, members in (rows or {(): list(range(batch.num_rows))}).items():
        yield {
            tfma.FEATURES_KEY: {key: np.array([value]) for key, value in zip(columns, values, strict=True)},
            tfma.ARROW_RECORD_BATCH_KEY: batch.take(pa.array(members)),
            tfma.PREDICTIONS_KEY: _rows(predictions, np.array(members)),
        }


def _with_input(extracts: Mapping[str, Any]) -> dict[str, Any]:
    """Adds what TFMA asks a model with."""
    serialized, _ = column(extracts[tfma.ARROW_RECORD_BATCH_KEY], tfma.ARROW_INPUT_COLUMN)
    return {**extracts, tfma.INPUT_KEY: serialized, tfma.FEATURES_KEY: {}}


def _rows(predictions: Any, rows: Any) -> Any:
    """Some rows of predictions that are nested by model and output."""
    if isinstance(predictions, Mapping):
        return {name: _rows(values, rows) for name, values in predictions.items()}
    return predictions[rows]


def _extractor(stage: str, transform: beam.PTransform) -> tfma.extractors.Extractor:
    return tfma.extractors.Extractor(stage_name=stage, ptransform=transform)


def _writers(eval_config: config_pb2.EvalConfig, output: str, models: Mapping[str, str]) -> list[tfma.writers.Writer]:
    """TFMA's own, but for the files of plots and attributions, which would be empty."""
    kinds = (tfma.METRICS_KEY, tfma.VALIDATIONS_KEY)
    return [
        tfma.writers.MetricsPlotsAndValidationsWriter(
            output_paths={kind: posixpath.join(output, kind) for kind in kinds}, eval_config=eval_config
        ),
        tfma.writers.EvalConfigWriter(
            output,
            eval_config=eval_config,
            model_locations=dict(models) if len(models) > 1 else {"": next(iter(models.values()))},
        ),
    ]
