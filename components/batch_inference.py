"""A SavedModel over a file of sessions: the Beam steps of `nextclick batch-predict`.

    files ─► ReadLog ─► batches of clicks by shard ─► GroupByKey ─► one TFRecord file of raw examples a shard   (once)
    a shard's examples ─► RunInference (tfx-bsl) on `predict_examples` ─► one Parquet or JSONL file       (each shard)

A shard's result has its name only once it is whole: what is there need not be computed again. The pipeline's optional
node BulkInferrer answers a split's examples by `bulk_infer`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.ml.inference import base as inference
from tensorflow_serving.apis import prediction_log_pb2
from tfx_bsl.public.beam import run_inference
from tfx_bsl.public.proto import model_spec_pb2

from nextclick.components import contract, counts, ingest, records, whole_file
from nextclick.components.counts import CLICKS_LOG, Tally
from nextclick.components.inputs import InputFile
from nextclick.pipeline.config import DataConfig

PARQUET, JSONL = ("parquet", "jsonl")
SCHEMA = pa.schema(
    [("session_id", pa.string()), ("item_ids", pa.list_(pa.string())), ("scores", pa.list_(pa.float32()))]
)
_BATCH_SESSIONS = 64  # of one run of the model; its scores of all items are held at once


def read_sessions(
    root: Any, files: Sequence[InputFile], shards: int, *, data: DataConfig, outputs: ingest.Outputs, folder: str
) -> None:
    """Adds the steps that write each shard's raw examples to `folder`, and the tally of all rows.

    No session is left out, however short: what comes next is asked after a single click, too.
    """
    tasks = [ingest.Task(number, CLICKS_LOG, file) for number, file in enumerate(files)]
    read = (
        root
        | "Files" >> beam.Create(tasks, reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "ReadLog" >> beam.ParDo(ingest.ReadLog(data, shards, outputs)).with_outputs("tally", main="batches")
    )
    written = read.batches | "GroupByShard" >> beam.GroupByKey() | "Write" >> beam.Map(_write_examples, data, folder)
    (
        (read["tally"], written)
        | "AllTallies" >> beam.Flatten()
        | "Sum" >> beam.CombineGlobally(counts.merge)
        | "WriteTally" >> beam.Map(_write_text, outputs.tally, counts.to_json)
    )


def predict(root: Any, shard: str, model_path: str, *, k: int, target: str, temporary: str, kind: str) -> None:
    """Adds the steps that write the k best items of each session of a shard's examples to a file."""
    (
        root
        | "Read" >> beam.io.ReadFromTFRecord(shard)
        | "RunInference" >> _inference(model_path)
        | "Answer" >> beam.Map(answer, k)
        | "Collect" >> beam.combiners.ToList()
        | "Write" >> beam.Map(write_rows, target, temporary, kind)
    )


def bulk_infer(root: Any, files: Sequence[str], model_path: str, *, logs: str, answers: str) -> None:
    """Adds the steps that answer all examples of some files, as TFX's BulkInferrer does and as Parquet.

    Args:
        root: a Beam pipeline.
        files: raw examples.
        model_path: folder of a SavedModel.
        logs: prefix of the files of PredictionLogs.
        answers: prefix of the Parquet files.
    """
    predicted = (
        root
        | "Files" >> beam.Create(files)
        | "Read" >> beam.io.ReadAllFromTFRecord()
        | "RunInference" >> _inference(model_path)
    )
    coder = beam.coders.ProtoCoder(prediction_log_pb2.PredictionLog)
    _ = predicted | "WriteLogs" >> beam.io.WriteToTFRecord(logs, file_name_suffix=".gz", coder=coder)
    rows = predicted | "Answer" >> beam.Map(answer)
    _ = rows | "WriteAnswers" >> beam.io.WriteToParquet(answers, SCHEMA, file_name_suffix=".parquet")


def _inference(model_path: str) -> beam.PTransform:
    """Serialised examples → PredictionLogs.

    By the handler itself: tfx-bsl's transform RunInference wraps it in one that forgets the limit of a batch.
    """
    spec = model_spec_pb2.InferenceSpecType()
    spec.saved_model_spec.model_path = model_path
    spec.saved_model_spec.signature_name.append(contract.SIGNATURE_EXAMPLES)
    spec.batch_parameters.max_batch_size = _BATCH_SESSIONS
    return inference.RunInference(run_inference.CreateModelHandler(spec))


def answer(log: Any, k: int | None = None) -> dict[str, Any]:
    """A row of the result, of a PredictionLog of one example; all that the model answered where there is no k."""
    predicted = log.predict_log
    example = tf.train.Example.FromString(predicted.request.inputs[contract.INPUT_EXAMPLES].string_val[0])
    ids = tf.make_ndarray(predicted.response.outputs[contract.OUTPUT_ITEM_IDS]).ravel()
    scores = tf.make_ndarray(predicted.response.outputs[contract.OUTPUT_SCORES]).ravel()
    kept = np.flatnonzero(ids != b"")[:k]
    return {
        "session_id": _text(example.features.feature[contract.SESSION_ID].bytes_list.value[0]),
        "item_ids": [_text(item) for item in ids[kept]],
        "scores": scores[kept].astype(float).tolist(),
    }


def write_rows(rows: list[dict[str, Any]], target: str, temporary: str, kind: str) -> None:
    """Writes rows, sorted by session, to a file (see whole_file.py)."""
    rows.sort(key=lambda row: str(row["session_id"]))
    with whole_file.written(target, temporary) as unfinished, tf.io.gfile.GFile(unfinished, "wb") as file:
        if kind == PARQUET:
            buffer = pa.BufferOutputStream()  # Parquet's writer asks more of a file than GFile has
            pq.write_table(pa.Table.from_pylist(rows, SCHEMA), buffer)
            file.write(buffer.getvalue().to_pybytes())
        else:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _write_examples(element: Any, data: DataConfig, folder: str) -> Tally:
    """(shard, its clicks) → its file of examples, each of a session's newest clicks as far as a request may have."""
    shard, grouped, _ = ingest.group(element, data)
    place = np.arange(len(grouped.events)) - grouped.per_event(grouped.offsets[1:])
    newest = grouped.keep_events(place >= -contract.MAX_REQUEST_ITEMS)
    name = f"{'users' if shard.of_users else 'sessions'}-{shard.number:05d}.gz"
    records.write(f"{folder}/{name}", records.to_examples(newest), f"{folder}/.temporary")
    tally = Tally()
    tally.add("sessions_read", "", len(newest.lengths))
    return tally


def _write_text(value: Any, path: str, to_text: Any) -> None:
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(to_text(value))


def _text(value: bytes) -> str:
    # Ids are opaque bytes, results are text: a byte that is no UTF-8 is written as \xNN.
    return value.decode("utf-8", "backslashreplace")
