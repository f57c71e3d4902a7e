"""Transform's Beam pipeline: raw tf.Examples → vocabulary and graph → transformed tf.Examples.

What TFX's own executor does with the same public parts of TensorFlow Transform, but an element is a batch of sessions
from the file to the file, never a session: TFX's takes each through Python, Beam and zlib's slowest level by itself.

    files ─► ReadSessions ─► AnalyzeDataset ─► graph ─┐
    files ─► ReadSessions ─► TransformDataset ◄───────┘ ─► tf.Examples ─► one TFRecord file a bundle
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.io import filebasedsink
from apache_beam.io.filesystem import CompressionTypes
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tf_example_record

from nextclick.components import records

# Sessions of a batch: the vocabulary takes each item of a batch through Beam once, so that larger ones cost less. A
# batch of nothing but sessions of data.max_session_length is about 200 MB.
_BATCH = 1 << 15


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What is read.

    Attributes:
        files: gzip TFRecord files of raw tf.Examples by split.
        analysed: the splits from which the vocabularies are learnt.
        schema: of the raw examples.
    """

    files: Mapping[str, Sequence[str]]
    analysed: Sequence[str]
    schema: schema_pb2.Schema


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where things go: folder of the graph, of each split's transformed examples, and for what is not kept."""

    graph: str
    splits: Mapping[str, str]
    temporary: str


def build(root: Any, preprocess: Callable[[Any], Any], inputs: Inputs, outputs: Outputs) -> None:
    """Adds all steps to a pipeline.

    Args:
        root: the pipeline.
        preprocess: raw features by name → transformed ones.
        inputs: what is read.
        outputs: what is written.
    """
    whole = tf_example_record.TFExampleBeamRecord(physical_format="inmem", schema=inputs.schema)
    columns = tft.get_transform_input_columns(preprocess, whole.TensorAdapter().OriginalTypeSpecs())
    features = whole.Project(columns).TensorAdapterConfig()
    decoded = _only(inputs.schema, columns).SerializeToString()  # no others
    with tft_beam.Context(temp_dir=outputs.temporary, use_deep_copy_optimization=True):
        learnt = [_read(root, "Analyse", split, inputs.files[split], decoded) for split in inputs.analysed]
        analysed = learnt | "AnalysedSplits" >> beam.Flatten(pipeline=root)
        graph = (analysed, features) | "Analyse" >> tft_beam.AnalyzeDataset(preprocess)
        raw = dataset_metadata.DatasetMetadata(inputs.schema)
        folder = posixpath.join(outputs.graph, tft.TFTransformOutput.RAW_METADATA_DIR)
        _ = raw | "WriteRawMetadata" >> tft_beam.WriteMetadata(folder, root)
        _ = graph | "WriteGraph" >> tft_beam.WriteTransformFn(outputs.graph)
        for split, files in inputs.files.items():
            sessions = _read(root, "Transform", split, files, decoded)
            apply = tft_beam.TransformDataset(output_record_batches=True)
            transformed, metadata = ((sessions, features), graph) | f"Transform[{split}]" >> apply
            _ = (
                transformed
                | f"Encode[{split}]" >> beam.ParDo(EncodeSessions(metadata.schema.SerializeToString()))
                | f"Write[{split}]" >> beam.io.Write(ExamplesSink(outputs.splits[split]))
            )


def _read(root: Any, purpose: str, split: str, files: Sequence[str], schema: bytes) -> Any:
    return (
        root
        | f"{purpose}Files[{split}]" >> beam.Create(list(files), reshuffle=False)
        | f"{purpose}Spread[{split}]" >> beam.Reshuffle()
        | f"{purpose}Read[{split}]" >> beam.ParDo(ReadSessions(schema))
    )


def _only(schema: schema_pb2.Schema, columns: Sequence[str]) -> schema_pb2.Schema:
    """A schema without other features."""
    found = schema_pb2.Schema()
    found.CopyFrom(schema)
    del found.feature[:]
    found.feature.extend(feature for feature in schema.feature if feature.name in columns)
    return found


class ReadSessions(beam.DoFn):
    """A TFRecord file → record batches of its tf.Examples' features."""

    def __init__(self, schema: bytes) -> None:
        self._schema = schema

    def process(self, path: str) -> Iterator[Any]:
        """Reads one file."""
        decoder = example_coder.ExamplesToRecordBatchDecoder(self._schema)
        for batch in tf.data.TFRecordDataset(path, compression_type="GZIP").batch(_BATCH).as_numpy_iterator():
            yield decoder.DecodeBatch(batch.tolist())


class EncodeSessions(beam.DoFn):
    """(record batch of transformed features, nothing) → the batch's serialised tf.Examples."""

    def __init__(self, schema: bytes) -> None:
        self._schema = schema

    def setup(self) -> None:
        """Makes the encoder, which cannot be pickled."""
        self._encoder = example_coder.RecordBatchToExamplesEncoder(schema_pb2.Schema.FromString(self._schema))

    def process(self, element: Any) -> Iterator[Sequence[bytes]]:
        """Encodes one batch."""
        yield self._encoder.encode(element[0])


class ExamplesSink(filebasedsink.FileBasedSink):
    """Batches of serialised tf.Examples → gzip TFRecord files, which get their names once all are whole."""

    def __init__(self, prefix: str) -> None:
        super().__init__(
            prefix, FastPrimitivesCoder(), file_name_suffix=".gz", compression_type=CompressionTypes.UNCOMPRESSED
        )

    def open(self, temp_path: str) -> Any:
        """A file that compresses by itself."""
        return tf.io.TFRecordWriter(temp_path, records.write_options())

    def write_record(self, file_handle: Any, value: Iterable[bytes]) -> None:
        """Writes one batch."""
        for example in value:
            file_handle.write(example)

    def close(self, file_handle: Any) -> None:
        """Ends the file."""
        file_handle.close()
