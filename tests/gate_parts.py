"""Helpers of the tests of the gate: hand-made models and examples, and TFX executors run on them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
import tensorflow_transform.beam as tft_beam
from google.protobuf.json_format import MessageToJson
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils
from tfx.dsl.components.base import base_beam_executor, base_executor
from tfx.types import artifact_utils, standard_artifacts
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from nextclick.components import (
    baseline_examples,
    contract,
    data_drift,
    evaluation_facts,
    gate_executor,
    metrics,
    prediction_slices,
    tfma_metrics,
)
from nextclick.components.preprocessing import preprocessing_fn
from nextclick.pipeline import config as configuration
from nextclick.pipeline import gate, gate_overrides
from nextclick.pipeline.config import Config

# Without an image TFX packs itself up for workers elsewhere, which takes seconds and is never used in this process.
BEAM = ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", "--sdk_container_image=none"]
PAD = contract.NO_PREDICTION


class RecordedModel(tf.Module):
    """A model whose evaluation signature answers the ranks that a feature of the example holds, whatever it learnt."""

    def __init__(self, feature: str) -> None:
        super().__init__()
        self.feature = feature
        self.weight = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, contract.INPUT_EXAMPLES)])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {self.feature: tf.io.RaggedFeature(tf.int64)})
        ranks = tf.cast(parsed[self.feature].to_tensor(PAD), tf.int32)  # [batch, positions]
        first = tf.range(2, 2 + contract.TOP_IDS)  # always the first items of the catalogue
        return {
            contract.OUTPUT_RANKS: ranks,
            contract.OUTPUT_TOP_IDS: tf.where(ranks[:, :, None] != PAD, first, 0),
        }


def save_model(folder: Path, feature: str = "model_ranks", signature: str = contract.SIGNATURE_EVALUATE) -> Path:
    """A SavedModel that answers `feature`."""
    model = RecordedModel(feature)
    tf.saved_model.save(model, str(folder), signatures={signature: model.evaluate})
    return folder


def example(session_id: str, items: list[str], **integers: list[int]) -> bytes:
    """A raw tf.Example as ExampleGen writes it, with more integer features."""
    features = {
        contract.SESSION_ID: _bytes([session_id]),
        contract.ITEM_IDS: _bytes(items),
        contract.EVENT_TIMES_MS: _integers([1_700_000_000_000 + i for i in range(len(items))]),
        contract.EVENT_TYPES: _bytes([contract.DEFAULT_EVENT_TYPE] * len(items)),
        contract.SESSION_LENGTH: _bytes([contract.session_length_bucket(len(items))]),
        **{name: _integers(values) for name, values in integers.items()},
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def transform_graph(folder: Path, sessions: list[list[str]], config: Config) -> standard_artifacts.TransformGraph:
    """The graph that Transform makes of our preprocessing_fn and some training sessions."""
    schema = schema_utils.schema_from_feature_spec({contract.ITEM_IDS: tf.io.VarLenFeature(tf.string)})
    raw = dataset_metadata.DatasetMetadata(schema)
    rows = [{contract.ITEM_IDS: [item.encode() for item in session]} for session in sessions]

    def preprocess(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return preprocessing_fn(inputs, {"config": configuration.to_json(config)})

    with (
        beam.Pipeline(runner=BEAM[0].partition("=")[2]) as pipeline,
        tft_beam.Context(temp_dir=str(folder / "tmp"), force_tf_compat_v1=False),
    ):
        function = (pipeline | beam.Create(rows), raw) | tft_beam.AnalyzeDataset(preprocess)
        function | tft_beam.WriteTransformFn(str(folder))
    metadata_io.write_metadata(raw, str(folder / "metadata"))
    found = standard_artifacts.TransformGraph()
    found.uri = str(folder)
    return found


def write_facts(path: Path, items: int = 30, drift: Mapping[str, float] | None = None) -> Path:
    """The facts of a catalogue of items clicked once each, whose data does not drift but as said."""
    facts = evaluation_facts.Facts(
        catalogue=metrics.Catalogue(first_index=2, clicks=np.ones(items, np.int64)),
        event_types=(contract.DEFAULT_EVENT_TYPE,),
        data={
            data_drift.UNKNOWN_INPUTS: 0.0,
            data_drift.UNKNOWN_TARGETS: 0.0,
            data_drift.LENGTH_DRIFT: 0.0,
            data_drift.POPULARITY_DRIFT: 0.0,
            data_drift.EVENT_TYPE_DRIFT: 0.0,
            data_drift.ITEM_DRIFT: 0.0,
            **dict.fromkeys(data_drift.SPAN_DRIFTS, 0.0),
            **{name if "/" in name else f"drift/{name}": value for name, value in (drift or {}).items()},
        },
        item_ids=tuple(f"item {item}" for item in range(items)),
    )
    evaluation_facts.write(facts, str(path))
    return path


def ranked_artifact(folder: Path, *sessions: bytes, items: int = 30) -> standard_artifacts.Examples:
    """What BaselineRanks writes: the test split and the facts."""
    artifact = examples_artifact(folder, test=list(sessions))
    write_facts(folder / baseline_examples.FACTS_FILE, items)
    return artifact


def ranked(session_id: str, model: list[int], **ranks: list[int]) -> bytes:
    """A test session with given ranks of the model, the served model (`served`) and the baselines."""
    columns = {"model_ranks": model, "served_ranks": ranks.pop("served", model)}
    for name in contract.BASELINES:
        columns[contract.baseline_ranks_feature(name)] = ranks.pop(name, [21] * len(model))
    for name, codes in ranks.pop("slices", {}).items():
        columns[prediction_slices.feature(name)] = codes
    assert not ranks, ranks
    items = [f"item {i}" for i in range(len(model) + 1)]
    raw = tf.train.Example.FromString(
        example(session_id, items, **columns, item_indices=list(range(2, 3 + len(model))))
    )
    raw.features.feature[contract.TEST_PERIOD].CopyFrom(_bytes(["2023-11-14"]))
    return raw.SerializeToString()


def _bytes(values: list[str]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))


def _integers(values: list[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def examples_artifact(folder: Path, **splits: list[bytes]) -> standard_artifacts.Examples:
    """An Examples artifact with the given records in its splits."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    artifact.split_names = artifact_utils.encode_split_names(list(splits))
    artifact.span = 0
    for split, records in splits.items():
        path = folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
        path.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for record in records:
                writer.write(record)
    return artifact


def model_artifact(folder: Path, **kind: str) -> standard_artifacts.Model:
    """A Model artifact with a recorded model inside; `kind` goes to `save_model`."""
    artifact = standard_artifacts.Model()
    artifact.uri = str(folder)
    save_model(folder / "Format-Serving", **kind)
    return artifact


def artifact(kind: type, folder: Path) -> object:
    """An empty artifact of a folder."""
    found = kind()
    found.uri = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return found


def run_beam(executor: type, folder: Path, inputs: dict, outputs: dict, properties: dict) -> None:
    """Runs a Beam executor as TFX does."""
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=BEAM, tmp_dir=str(folder / "tmp"), unique_id="1"
    )
    executor(context).Do(_lists(inputs), _lists(outputs), properties)


def run(executor: type, folder: Path, inputs: dict, outputs: dict, properties: dict) -> None:
    """Runs a plain executor as TFX does."""
    context = base_executor.BaseExecutor.Context(tmp_dir=str(folder / "tmp"), unique_id="1")
    executor(context).Do(_lists(inputs), _lists(outputs), properties)


def _lists(artifacts: dict) -> dict:
    return {name: [value] for name, value in artifacts.items()}


def decide(
    folder: Path, config: Config, sessions: list[bytes], served: bool = False, drift: Mapping[str, float] | None = None
) -> set[str]:
    """The gate's decision as TFMA makes it, without Beam and models: names of the checks that failed.

    Slices of sessions are left to the tests that run all of TFMA.
    """
    eval_config = tfma_metrics.with_facts(gate.eval_config(config), str(write_facts(folder / "facts", drift=drift)))
    eval_config = tfma.utils.update_eval_config_with_defaults(eval_config, has_baseline=served, rubber_stamp=True)
    (spec,) = eval_config.metrics_specs
    settings = json.loads(spec.metrics[0].config)
    (computation,) = tfma_metrics.RankingMetrics(**settings).computations(
        eval_config=eval_config, model_names=list(spec.model_names)
    )
    accumulator = computation.combiner.create_accumulator()
    for session in sessions:
        for element in computation.preprocessors[0].process(_extracts(session, served)):
            accumulator = computation.combiner.add_input(accumulator, element)
    found = computation.combiner.extract_output(accumulator)
    for key in [key for key in found if key.model_name == gate.SERVED]:
        candidate = key._replace(model_name=gate.CANDIDATE)
        found[candidate.make_diff_key()] = found[candidate] - found[key]
    result = metrics_validator.validate_metrics(((), found), eval_config)
    broken = {
        (f.metric_key.name, f.metric_key.is_diff) for e in result.metric_validations_per_slice for f in e.failures
    }
    table = [check for check in gate.checks(config) if not check.each]
    return {check.name for check in table if (check.bounded_metric, check.against_served) in broken}


def _extracts(serialized: bytes, served: bool) -> dict:
    """What evaluating.py hands to a metric's preprocessor, of a pack of one session."""
    batch = ExamplesToRecordBatchDecoder().DecodeBatch([serialized])

    def outputs(feature: str) -> dict:
        ranks = np.array(batch.column(batch.schema.get_field_index(feature)).to_pylist())  # [1, positions]
        top_ids = np.tile(np.arange(2, 22), (*ranks.shape, 1))
        return {contract.OUTPUT_RANKS: ranks, contract.OUTPUT_TOP_IDS: top_ids}

    predictions = outputs("model_ranks")
    if served:
        predictions = {gate.CANDIDATE: predictions, gate.SERVED: outputs("served_ranks")}
    return {tfma.PREDICTIONS_KEY: predictions, tfma.ARROW_RECORD_BATCH_KEY: batch}


@dataclasses.dataclass(frozen=True)
class Judged:
    """GateEvaluator's outputs."""

    evaluation: standard_artifacts.ModelEvaluation
    blessing: standard_artifacts.ModelBlessing

    @property
    def properties(self) -> dict[str, object]:
        """The blessing's, as pipeline.lineage reads them from ML Metadata."""
        return {
            name: getattr(value, value.WhichOneof("value"))
            for name, value in self.blessing.mlmd_artifact.custom_properties.items()
        }


def judge(
    folder: Path,
    model: standard_artifacts.Model,
    examples: standard_artifacts.Examples,
    config: Config,
    served: standard_artifacts.Model | None = None,
) -> Judged:
    """Runs GateEvaluator's executor."""
    judged = Judged(
        artifact(standard_artifacts.ModelEvaluation, folder / "evaluation"),
        artifact(standard_artifacts.ModelBlessing, folder / "blessing"),
    )
    inputs = {"model": model, "examples": examples}
    if served is None:
        served = artifact(standard_artifacts.Model, folder / "served")
        served.set_string_custom_property("served_version", "")
    run_beam(
        gate_executor.GateEvaluatorExecutor,
        folder,
        {**inputs, "baseline_model": served},
        {"evaluation": judged.evaluation, "blessing": judged.blessing},
        {
            "eval_config": MessageToJson(gate.eval_config(config)),
            "example_splits": json.dumps([contract.TEST]),
            "enabled": int(config.gate.enabled),
            "overrides": "; ".join(gate_overrides.overrides(config)),
            "serving_limits": json.dumps(gate.serving_limits(config)),
            "code_sha256": "",
        },
    )
    return judged
