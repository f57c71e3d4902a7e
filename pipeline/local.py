"""One local run: the pipeline on this machine, progress while it runs, report and dead letter when it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import functools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tfx import v1 as tfx
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from nextclick.components import contract, example_gen, gate_executor, inputs, served
from nextclick.pipeline import beam_options, definition, gate, lineage, report, results, tracking, trials
from nextclick.pipeline.code_version import code_sha256, code_version
from nextclick.pipeline.config import Config, replace
from nextclick.pipeline.errors import ConfigError, only_data_error
from nextclick.pipeline.progress import ComponentProgress, logged_to


@dataclasses.dataclass(frozen=True)
class Root:
    """The folders and files under `--root` (INTERFACE: "What a run leaves")."""

    path: Path

    @property
    def metadata(self) -> Path:
        """ML Metadata's SQLite file."""
        return self.path / "metadata.sqlite"

    @property
    def artifacts(self) -> Path:
        """TFX's pipeline root."""
        return self.path / "artifacts"

    def serving(self, model_name: str) -> Path:
        """TF Serving's base path of a model."""
        return self.path / "serving" / model_name

    def report(self, run_id: str) -> Path:
        """Folder of a run's report."""
        return self.path / "reports" / run_id

    def dead_letter(self, run_id: str) -> Path:
        """Folder of a run's rejected rows."""
        return self.path / "dead_letter" / run_id

    def log(self, run_id: str) -> Path:
        """Log file of a run."""
        return self.path / "logs" / f"{run_id}.log"


def run(effective: Config, folder: Path, reason: str = "asked for") -> dict[str, Any]:
    """Runs the whole pipeline under a root folder; `reason` is why, as the report says it.

    Returns:
        The content of metrics.json; the report, the dead letter and, where the gate blessed the model, the pushed
        model are then in place.

    Raises:
        ConfigError, DataError: wrong settings or input.
    """
    tracking.check(effective)
    root = Root(folder.resolve())
    root.path.mkdir(parents=True, exist_ok=True)
    with _only_run_in(root), _run_log(root) as (run_id, progress):
        started, clock = datetime.datetime.now(tz=datetime.timezone.utc), time.monotonic()
        plan = _plan(effective, root, run_id)
        _execute(definition.create_pipeline(plan))
        nodes = lineage.latest_run(str(root.metadata))
        shutil.copytree(results.dead_letter_folder(nodes), root.dead_letter(run_id))
        metrics = results.collect(
            effective,
            nodes,
            {
                "id": run_id,
                "started": started.isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - clock, 1),
                "reason": reason,
                "data_sha256": plan.input_fingerprint,
                "newest_span": inputs.newest_span(effective.data),
                "code_version": code_version(),
            },
        )
        tuned = trials.newest(root.path)
        report.write_report(root.report(run_id), {**metrics, **({"tuning": tuned} if tuned else {})})
        written: dict[str, Any] = json.loads((root.report(run_id) / report.METRICS).read_text(encoding="utf-8"))
        _point_latest_at(root.report(run_id))
        tracking.track(effective, written, root.report(run_id), root.path)
        progress.say(f"  {'all':<24} {metrics['run']['seconds']:6.1f} s")
    return written


def infer_schema(effective: Config, folder: Path) -> str:
    """Runs the pipeline as far as SchemaGen; returns the inferred schema as a text proto.

    Raises:
        ConfigError, DataError: wrong settings or input.
    """
    _, nodes = _run_part(effective, folder, definition.create_schema_pipeline)
    return (Path(nodes["SchemaGen"].outputs["schema"].uri) / "schema.pbtxt").read_text(encoding="utf-8")


def run_tuner(effective: Config, folder: Path) -> tuple[str, Path]:
    """Runs the pipeline as far as the Tuner; returns the id of the run and the folder of the Tuner's results.

    Raises:
        ConfigError, DataError: wrong settings or input.
    """
    run_id, nodes = _run_part(effective, folder, definition.create_tuning_pipeline)
    return run_id, Path(nodes["Tuner"].outputs["tuner_results"].uri)


def make_examples(effective: Config, folder: Path, *, transformed: bool) -> dict[str, float]:
    """Runs the pipeline as far as ExampleGen or Transform; returns the seconds of each node, 0 from the cache.

    Raises:
        ConfigError, DataError: wrong settings or input.
    """
    create = functools.partial(definition.create_examples_pipeline, transformed=transformed)
    _, nodes = _run_part(effective, folder, create)
    return {name: node.seconds for name, node in nodes.items()}


def _run_part(
    effective: Config, folder: Path, create: Callable[[definition.Plan], Any]
) -> tuple[str, dict[str, lineage.NodeRun]]:
    """Runs a pipeline that ends before the gate; returns the id of the run and what its nodes did."""
    root = Root(folder.resolve())
    root.path.mkdir(parents=True, exist_ok=True)
    with _only_run_in(root), _run_log(root) as (run_id, _):
        _execute(create(_plan(effective, root, run_id)))
        return run_id, lineage.latest_run(str(root.metadata))


def evaluate(effective: Config, model: Path, examples: Path, folder: Path) -> None:
    """Runs GateEvaluator alone, outside a pipeline, without a served model and serving checks; for the benchmark.

    Args:
        effective: of the gate.
        model: folder of a Model artifact.
        examples: folder of what BaselineRanks wrote.
        folder: gets the evaluation and the blessing.
    """
    effective = replace(effective, {"gate.compare_served": False, "gate.check_serving": False})
    context = base_beam_executor.BaseBeamExecutor.Context(
        # Without an image TFX packs itself up for workers elsewhere, which takes seconds and is not used here.
        beam_pipeline_args=[*beam_options.beam_arguments(effective), "--sdk_container_image=none"],
        tmp_dir=str(folder / "tmp"),
        unique_id="1",
    )
    test_split = _artifact(standard_artifacts.Examples, examples)
    test_split.split_names = artifact_utils.encode_split_names([contract.TEST])
    gate_executor.GateEvaluatorExecutor(context).Do(
        {"model": [_artifact(standard_artifacts.Model, model)], "examples": [test_split]},
        {
            "evaluation": [_artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")],
            "blessing": [_artifact(standard_artifacts.ModelBlessing, folder / "blessing")],
        },
        {
            "eval_config": json_format.MessageToJson(gate.eval_config(effective)),
            "example_splits": json.dumps([contract.TEST]),
            "enabled": 1,
            "overrides": "",
            "serving_limits": "{}",
            "code_sha256": "",
        },
    )


def _artifact(kind: type[Any], folder: Path) -> Any:
    found = kind()
    found.uri = str(folder)
    return found


def _plan(effective: Config, root: Root, run_id: str) -> definition.Plan:
    base = root.serving(effective.serving.model_name)
    return definition.Plan(
        config=effective,
        pipeline_root=str(root.artifacts),
        serving_base_path=str(base),
        schema_path=definition.bundled_schema_path(),
        code_sha256=code_sha256(),
        input_fingerprint=example_gen.input_fingerprint(effective),
        served_state=served.state(str(base)),
        run_id=run_id,
        refused_folder=str(root.dead_letter("refused")),
        metadata_path=str(root.metadata),
        beam_arguments=tuple(beam_options.beam_arguments(effective)),
        cached=True,
    )


def _execute(pipeline: tfx.dsl.Pipeline) -> None:
    with only_data_error():
        tfx.orchestration.LocalDagRunner().run(pipeline)


@contextlib.contextmanager
def _only_run_in(root: Root) -> Iterator[None]:
    """Two runs would mix their steps in one metadata store; the lock goes with the process, however it ends."""
    with (root.path / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"another run is using {root.path}; wait for it or choose another --root") from None
        yield


@contextlib.contextmanager
def _run_log(root: Root) -> Iterator[tuple[str, ComponentProgress]]:
    """A new run id, unique under this root, and its log."""
    moment = datetime.datetime.now(tz=datetime.timezone.utc)
    while root.log(f"{moment:%Y%m%d-%H%M%S}").exists():
        moment += datetime.timedelta(seconds=1)
    run_id = f"{moment:%Y%m%d-%H%M%S}"
    with logged_to(root.log(run_id)) as progress:
        progress.say(f"nextclick run {run_id} under {root.path} (log: {root.log(run_id)})")
        yield run_id, progress


def _point_latest_at(report_folder: Path) -> None:
    """Replaces `reports/latest` in one rename, so that a reader never finds it missing."""
    link, fresh = report_folder.parent / "latest", report_folder.parent / ".latest-next"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(report_folder.name)
    fresh.replace(link)
