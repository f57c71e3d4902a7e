"""The pushed model over a file of sessions: read and shard once, then predict shard by shard, each kept when done."""

from __future__ import annotations

import dataclasses
import json
import posixpath
import sys
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from nextclick.components import batch_inference, contract, counts, ingest, inputs, readers, served, sharding
from nextclick.pipeline import config as configuration
from nextclick.pipeline.beam_options import beam_arguments
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError, only_data_error

MANIFEST, WORK, RESULTS = "batch.json", ".work", "predictions"
_SUFFIX = {batch_inference.PARQUET: "parquet", batch_inference.JSONL: "jsonl"}


@dataclasses.dataclass(frozen=True)
class Job:
    """What is computed, and where to.

    Attributes:
        model_path: folder of a SavedModel.
        output: folder of the results; may hold those of an interrupted run of the same job.
        k: items a session at most.
        kind: "parquet" or "jsonl".
        shards: files to write; 0: by the size of the input.
    """

    model_path: str
    output: Path
    k: int
    kind: str
    shards: int = 0


def find_model(folder: Path) -> str:
    """A model's folder, of that folder or of the folder of its versions. Raises ConfigError."""
    if served.is_saved_model(str(folder)):
        path = str(folder)
    else:
        version = served.newest_version(str(folder)) if folder.is_dir() else ""
        if not version:
            raise ConfigError(f"{folder} holds no model: name a version's folder, or run the pipeline first")
        path = served.version_path(str(folder), version)
    if contract.SIGNATURE_EXAMPLES not in served.signatures(path):
        raise ConfigError(f"the model in {path} has no signature {contract.SIGNATURE_EXAMPLES}: push one of nextclick")
    return path


def run(config: Config, job: Job) -> dict[str, Any]:
    """Writes `predictions/part-*` under the output folder; returns counts.

    Raises:
        ConfigError: the output folder is another job's.
        DataError: the log cannot be read.
    """
    files, _ = inputs.find_inputs(dataclasses.replace(config.data, test_path=""))
    for file in files:
        readers.open_log(file, config.data)
    shards = job.shards or sharding.shards_for((file.path, file.size_bytes) for file in files)
    options = PipelineOptions(beam_arguments(config), save_main_session=False)
    start = time.monotonic()
    work = job.output / WORK
    settings = configuration.sha256(configuration.keep(config, "data"))
    _claim(job, {"data_sha256": inputs.fingerprint(files, []), "settings_sha256": settings, "shards": shards})
    tally_file = work / "tally.json"
    if not tally_file.exists():
        _say(f"reading {len(files)} file{'s' * (len(files) != 1)} into {shards} shard{'s' * (shards != 1)}")
        outputs = _outputs(job.output)
        with only_data_error(), beam.Pipeline(options=options) as root:
            batch_inference.read_sessions(
                root, files, shards, data=config.data, outputs=outputs, folder=str(work / "examples")
            )
    tally = counts.from_json(tally_file.read_text(encoding="utf-8"))
    counts.check_rows(tally, config.data)
    computed = _predict_all(job, options)
    return {
        "model": job.model_path,
        "output": str(job.output / RESULTS),
        "rows_read": tally.total("rows_read"),
        "rows_rejected": dict(tally.by_key("rows_rejected")),
        "sessions": tally.total("sessions_read"),
        **computed,
        "seconds": round(time.monotonic() - start, 1),
    }


def _predict_all(job: Job, options: PipelineOptions) -> dict[str, int]:
    """Predicts the shards that are not there yet, a Beam pipeline each, so that what is done stays done."""
    shards, temporary = sorted((job.output / WORK / "examples").glob("*.gz")), _outputs(job.output).temporary
    done = 0
    for number, shard in enumerate(shards):
        target = job.output / RESULTS / f"part-{shard.name.removesuffix('.gz')}.{_SUFFIX[job.kind]}"
        if target.exists():
            done += 1
            continue
        start = time.monotonic()
        with only_data_error(), beam.Pipeline(options=options) as root:
            batch_inference.predict(
                root, str(shard), job.model_path, k=job.k, target=str(target), temporary=temporary, kind=job.kind
            )
        _say(f"shard {number + 1} of {len(shards)}: {time.monotonic() - start:.1f} s")
    return {"shards": len(shards), "shards_found_done": done}


def _claim(job: Job, facts: dict[str, Any]) -> None:
    """Notes what the output folder is of. Raises ConfigError where it is of something else."""
    wanted = {**facts, "model": served.fingerprint(job.model_path), "k": job.k, "format": job.kind}
    path = job.output / MANIFEST
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        other = sorted(name for name in wanted if found.get(name) != wanted[name])
        if other:
            raise ConfigError(
                f"{job.output} holds the results of another job (other {', '.join(other)}): name another --output"
            )
        return
    if job.output.exists() and any(job.output.iterdir()):
        raise ConfigError(f"{job.output} is not empty and not of batch-predict: name another --output")
    job.output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wanted, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _outputs(output: Path) -> ingest.Outputs:
    work = output / WORK
    return ingest.Outputs(
        splits={},
        dead_letter=posixpath.join(output, "dead_letter"),
        temporary=str(work / ".temporary"),
        tally=str(work / "tally.json"),
        span_drift="",
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
