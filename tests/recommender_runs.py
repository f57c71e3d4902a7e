"""What several test modules share: sessions with a pattern, Transform run on them, a model exported once."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import random
import shutil
import tempfile
import types
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.output_wrapper import TFTransformOutput
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
from tfx_bsl.coders import example_coder

from nextclick.components import contract, preprocessing, trainer
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

LOOKBACK = 6
CONFIG = configuration.replace(
    Config(),
    {
        "data.refit": False,
        "features.lookback": LOOKBACK,
        "features.window_length": 4,
        "model.embedding_size": 16,
        "model.hidden_units": 16,
        "training.epochs": 6,
        "training.batch_size": 64,
        "training.learning_rate": 0.02,
        "serving.top_k": 40,
    },
)
ITEMS = 30


def cyclic_sessions(count: int, seed: int, longest: int = 12) -> list[list[bytes]]:
    """Item i is followed by item i + 1, modulo 30, nine times in ten."""
    chance = random.Random(seed)
    sessions = []
    for _ in range(count):
        session = [chance.randrange(ITEMS)]
        for _ in range(chance.randint(1, longest - 1)):
            follows = chance.random() < 0.9
            session.append((session[-1] + 1) % ITEMS if follows else chance.randrange(ITEMS))
        sessions.append([f"item {item}".encode() for item in session])
    return sessions


def example(items: list[bytes]) -> bytes:
    """A serialised raw tf.Example."""
    values = tf.train.Feature(bytes_list=tf.train.BytesList(value=items))
    return tf.train.Example(features=tf.train.Features(feature={contract.ITEM_IDS: values})).SerializeToString()


def transform(config: Config, splits: dict[str, list[list[bytes]]], folder: Path, shards: int = 1) -> TFTransformOutput:
    """Runs Transform on raw sessions, in memory: vocabulary of `train`, each split to `<folder>/<split>-<n>.gz`."""
    spec = {contract.ITEM_IDS: tf.io.VarLenFeature(tf.string)}
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec(spec)
    arguments = {"config": configuration.to_json(config)}
    function = functools.partial(preprocessing.preprocessing_fn, custom_config=arguments)
    rows = {split: [{contract.ITEM_IDS: items} for items in sessions] for split, sessions in splits.items()}
    with tft_beam.Context(temp_dir=str(folder / "beam")):
        graph = (rows[contract.TRAIN], metadata) | tft_beam.AnalyzeDataset(function)
        graph | tft_beam.WriteTransformFn(str(folder / "transform"))
        for split in splits:
            data = ((rows[split], metadata), graph) | tft_beam.TransformDataset(output_record_batches=True)
            _write(data, folder, split, shards)
    metadata_io.write_metadata(metadata, str(folder / "transform" / "metadata"))
    return TFTransformOutput(str(folder / "transform"))


def _write(data: Any, folder: Path, split: str, shards: int) -> None:
    batches, metadata = data
    encoder = example_coder.RecordBatchToExamplesEncoder(metadata.schema)
    serialized = [record for batch, _ in batches for record in encoder.encode(batch)]
    for shard in range(shards):
        with tf.io.TFRecordWriter(str(folder / f"{split}-{shard}.gz"), "GZIP") as writer:
            for record in serialized[shard::shards]:
                writer.write(record)


@dataclasses.dataclass(frozen=True)
class Exported:
    """A trained and exported model; what Transform left is deleted, so that nothing of it can be used."""

    folder: str
    run_folder: str
    vocabulary: list[bytes]
    validation: list[list[bytes]]
    transformed: dict[bytes, list[int]]  # of each validation session, its items joined, the indices of Transform

    @functools.cached_property
    def model(self) -> Any:
        return tf.saved_model.load(self.folder)

    def signature(self, name: str) -> Any:
        """A signature as TF Serving calls it."""
        return self.model.signatures[name]


@functools.cache
def exported() -> Exported:
    """The model that test modules share."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # The validation split has items that training has not, and a session longer than the look-back.
    strange = [[b"item 1", b"never seen", b"item 2", b"item 3"], [b"new", b"newer"], [b"item 5", b"item 6", b"new"]]
    splits = {contract.TRAIN: cyclic_sessions(400, 1), contract.VALIDATION: cyclic_sessions(80, 2, 20) + strange}
    output = transform(CONFIG, splits, folder)
    arguments = run_arguments(CONFIG, folder)
    trainer.run_fn(arguments)
    vocabulary = list(output.vocabulary_by_name(contract.VOCABULARY_NAME))
    layer = output.transform_features_layer()
    transformed = {}
    for session in splits[contract.VALIDATION]:
        indices = layer({contract.ITEM_IDS: tf.sparse.from_dense([session])})[contract.ITEM_INDICES]
        transformed[b"\0".join(session)] = indices.to_list()[0]
    shutil.rmtree(folder / "transform")
    return Exported(
        arguments.serving_model_dir, arguments.model_run_dir, vocabulary, splits[contract.VALIDATION], transformed
    )


def run_arguments(config: Config, folder: Path, run: str = "run") -> Any:
    """The part of TFX's FnArgs that run_fn reads."""
    return types.SimpleNamespace(
        custom_config={"config": configuration.to_json(config)},
        train_files=[str(folder / "train-*")],
        eval_files=[str(folder / "validation-*")],
        transform_output=str(folder / "transform"),
        serving_model_dir=str(folder / run / "model"),
        model_run_dir=str(folder / run / "logs"),
        base_model=None,
    )
