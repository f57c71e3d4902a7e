"""The sessions that the benchmarks train on: through the pipeline's own components, and as plain arrays.

`data.json` names the transformed examples, for us; `sessions.npz` has the same sessions in the order of time, for
whoever reads neither tf.Examples nor our vocabulary: of each split `<split>_items` int32 [events], places in the
vocabulary, -1 where the item is not in it; `<split>_lengths` int64 [sessions]; `<split>_times` int64 [events], ms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_transform.output_wrapper import TFTransformOutput

from nextclick.components import contract
from nextclick.pipeline import lineage, local
from nextclick.pipeline.config import Config

DATA_FILE, SESSIONS_FILE = "data.json", "sessions.npz"
_SPLITS = (contract.TRAIN, contract.VALIDATION)


def transform(config: Config, folder: Path) -> tuple[Path, list[bytes]]:
    """Runs ExampleGen and Transform, as far as they are not in the folder's cache, and writes data.json.

    Returns: the path of data.json, and the vocabulary.
    """
    root = local.Root(folder / "root")
    local.make_examples(config, root.path, transformed=True)
    outputs = lineage.latest_run(str(root.metadata))["Transform"].outputs
    graph, examples = outputs["transform_graph"].uri, outputs["transformed_examples"].uri
    vocabulary: list[bytes] = TFTransformOutput(graph).vocabulary_by_name(contract.VOCABULARY_NAME)
    files = {split: [f"{examples}/Split-{split}/*"] for split in contract.SPLITS}
    written = folder / DATA_FILE
    written.write_text(json.dumps({"transform_graph": graph, "items": len(vocabulary), **files}), encoding="utf-8")
    return written, vocabulary


def prepare(config: Config, folder: Path) -> tuple[Path, dict[str, int]]:
    """`transform`, and sessions.npz beside; returns the path of data.json and the sizes."""
    written, vocabulary = transform(config, folder)
    raw = lineage.latest_run(str(local.Root(folder / "root").metadata))["SessionExampleGen"].outputs["examples"].uri
    arrays: dict[str, Any] = {"items": np.int64(len(vocabulary))}
    for split in _SPLITS:
        for name, values in _sessions(f"{raw}/Split-{split}", vocabulary).items():
            arrays[f"{split}_{name}"] = values
    np.savez(folder / SESSIONS_FILE, **arrays)
    return written, _sizes(arrays)


def _sessions(folder: str, vocabulary: list[bytes]) -> dict[str, npt.NDArray[Any]]:
    """Items, times and lengths of a split's sessions, those that began first first."""
    places = {item: place for place, item in enumerate(vocabulary)}
    spec = {
        contract.ITEM_IDS: tf.io.RaggedFeature(tf.string),
        contract.EVENT_TIMES_MS: tf.io.RaggedFeature(tf.int64),
    }
    files = tf.io.gfile.glob(f"{folder}/*")
    records = tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")
    found: list[tuple[list[int], list[int]]] = []
    for serialized in records.batch(4096):
        parsed: Mapping[str, Any] = tf.io.parse_example(serialized, spec)
        for items, times in zip(
            parsed[contract.ITEM_IDS].to_list(), parsed[contract.EVENT_TIMES_MS].to_list(), strict=True
        ):
            found.append((times, [places.get(item, -1) for item in items]))
    found.sort()
    return {
        "items": np.asarray([item for _, items in found for item in items], np.int32),
        "times": np.asarray([time for times, _ in found for time in times], np.int64),
        "lengths": np.asarray([len(items) for _, items in found], np.int64),
    }


def _sizes(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, int]:
    sizes = {"items": int(arrays["items"])}
    for split in _SPLITS:
        lengths = arrays[f"{split}_lengths"]
        sizes[f"{split}_sessions"] = len(lengths)
        sizes[f"{split}_events"] = int((lengths - 1).sum())  # pairs of an item and the next one
    return sizes
