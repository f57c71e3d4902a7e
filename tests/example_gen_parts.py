"""Runs SessionExampleGen's executor, as TFX would, and reads what it wrote."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from nextclick.components import example_gen
from nextclick.pipeline import config

BEAM = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_running_mode=in_memory",
    "--direct_num_workers=1",
    "--sdk_container_image=none",  # or TFX makes a package of itself for remote workers, which takes seconds
)


@dataclasses.dataclass(frozen=True)
class Session:
    """One tf.Example."""

    id: str
    items: tuple[str, ...]
    times_ms: tuple[int, ...]
    types: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Result:
    """What one execution left: sessions by split, counts.json, the dead letter's entries, the artifact."""

    splits: dict[str, list[Session]]
    counts: dict[str, Any]
    dead_letter: list[dict[str, Any]]
    examples: standard_artifacts.Examples


def execute(folder: Path, *, refused_folder: str = "", **data: Any) -> Result:
    """Runs the executor with `data.<name>` set; the outputs lie in `folder`."""
    effective = config.replace(config.Config(), {f"data.{name}": value for name, value in data.items()})
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=list(BEAM), unique_id="1")
    properties = {
        "config_json": config.to_json(effective),
        "input_fingerprint": example_gen.input_fingerprint(effective),
        "code_sha256": "",
        "refused_folder": refused_folder,
    }
    example_gen.Executor(context).Do({}, {"examples": [examples]}, properties)
    return Result(
        {split: read_split(folder, split) for split in ("train", "validation", "test")},
        json.loads((folder / "counts.json").read_text()),
        read_dead_letter(folder / "dead_letter"),
        examples,
    )


def read_split(folder: Path, split: str) -> list[Session]:
    """The sessions of a split, in the files' order."""
    files = sorted(str(path) for path in (folder / f"Split-{split}").iterdir())
    return [_session(record.numpy()) for record in tf.data.TFRecordDataset(files, compression_type="GZIP")]


def read_dead_letter(folder: Path) -> list[dict[str, Any]]:
    """The rejected rows."""
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def _session(data: bytes) -> Session:
    features = tf.train.Example.FromString(data).features.feature
    return Session(
        features["session_id"].bytes_list.value[0].decode(),
        tuple(item.decode() for item in features["item_ids"].bytes_list.value),
        tuple(features["event_times_ms"].int64_list.value),
        tuple(kind.decode() for kind in features["event_types"].bytes_list.value),
    )
