"""Measure training: events a second, time and memory to the best epoch, the floor, and the official GRU4Rec beside."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nextclick.pipeline import config as configuration
from nextclick.pipeline.commands import options
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError, DataError

_PHASES = "nextclick.pipeline.benchmarks.train_phases"
_ADAPTER = Path(__file__).with_name("reference_gru4rec.py")
# Of the reference's folder: the parameters published for 100 units.
_PARAMETERS = "paramfiles/rsc15_xe_shared_100_best.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick benchmark train`."""
    options.add_config(parser, show=False)
    parser.add_argument(
        "--reference", metavar="DIR", help="folder with the official PyTorch GRU4Rec, to run beside (research licence)"
    )
    parser.add_argument(
        "--reference-python",
        metavar="FILE",
        default=sys.executable,
        help="a Python with torch, pandas and joblib (this one)",
    )
    parser.add_argument(
        "--reference-parameters", metavar="FILE", help=f"a parameter file of the reference (DIR/{_PARAMETERS})"
    )
    parser.add_argument(
        "--reference-epochs", metavar="N", type=int, default=0, help="epochs of the reference (those of its parameters)"
    )


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of our training, of the floor and, where its folder is given, of the reference on the same sessions.

    Both are trained on the training split and judged on the validation split; the test split is not looked at.

    Raises: ConfigError, DataError.
    """
    # Without the refit Transform learns its vocabulary from the training split alone.
    config = configuration.replace(options.load_config(args), {"data.refit": False})
    parameters = _reference_parameters(args)
    from nextclick.pipeline.benchmarks import train_data  # imports TensorFlow

    with tempfile.TemporaryDirectory(prefix="nextclick-benchmark-") as scratch:
        data, described = train_data.prepare(config, Path(scratch))
        if not described["train_events"] or not described["validation_events"]:
            raise DataError("the log is too short to be split into training and validation sessions")
        fitted = ours("fit", data, config)
        found: dict[str, Any] = {**described, "threads": _threads(config), "nextclick": fitted}
        if parameters:
            found.update(_beside_reference(args, data, config, parameters, fitted))
    return found


def _beside_reference(
    args: argparse.Namespace, data: Path, config: Config, parameters: Path, fitted: Mapping[str, Any]
) -> dict[str, Any]:
    settings = {
        "folder": str(Path(args.reference).resolve()),
        "parameters": str(parameters.resolve()),
        "layers": [config.model.hidden_units] * config.model.layers,
        "threads": _threads(config),
        "epochs": args.reference_epochs,
    }
    reference = _run([args.reference_python, str(_ADAPTER), str(data), json.dumps(settings)])
    equal = configuration.replace(
        config, {"training.loss": "sampled_softmax", "training.negatives": reference["negatives"]}
    )
    ours_equal = ours("speed", data, equal)
    return {"reference": reference, "nextclick_equal_negatives": ours_equal, **_ratios(fitted, ours_equal, reference)}


def _ratios(
    fitted: Mapping[str, Any], ours_equal: Mapping[str, Any], reference: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Seconds say what other jobs left of the machine; processor seconds hardly depend on them."""
    found: dict[str, Any] = {}
    for name, seconds in (("seconds", "training_seconds"), ("cpu_seconds", "cpu_seconds")):
        reached = seconds_to_reach(fitted, reference["recall@20"], reference["mrr@20"], seconds)
        found[f"{name}_to_its_final_quality"] = reached or "not reached"
        found[f"times_less_{name}_to_its_final_quality"] = reference[name] / reached if reached else "not reached"
    for name in ("events_per_second", "events_per_cpu_second"):
        found[f"times_its_{name}_at_equal_negatives"] = ours_equal[name] / reference[name]
    return {"against_reference": found}


def seconds_to_reach(
    fitted: Mapping[str, Any], recall: float, mrr: float, name: str = "training_seconds"
) -> float | None:
    """Seconds of training, with set-up and without validation, after which both figures were first reached.

    `fitted` has `setup_seconds` and `history`, a list of `recall@20`, `mrr@20` and seconds (`name`) of each epoch.
    """
    seconds: float = fitted["setup_seconds"]
    for line in fitted["history"]:
        seconds += line[name]
        if line["recall@20"] >= recall and line["mrr@20"] >= mrr:
            return seconds
    return None


def _reference_parameters(args: argparse.Namespace) -> Path | None:
    if not args.reference:
        return None
    folder = Path(args.reference)
    if not (folder / "gru4rec_pytorch.py").is_file():
        raise ConfigError(f"--reference must be a folder with gru4rec_pytorch.py, received {args.reference}")
    parameters = Path(args.reference_parameters) if args.reference_parameters else folder / _PARAMETERS
    if not parameters.is_file():
        raise ConfigError(f"--reference-parameters must be a file, received {parameters}")
    return parameters


def _threads(config: Config) -> int:
    return config.training.threads or len(os.sched_getaffinity(0))


def ours(phase: str, data: Path, config: Config) -> dict[str, Any]:
    """The figures of a phase (train_phases.py) in a process of its own."""
    limited = configuration.replace(config, {"training.threads": _threads(config)})
    return _run([sys.executable, "-m", _PHASES, phase, str(data), configuration.to_json(limited)])


def _run(command: Sequence[str]) -> dict[str, Any]:
    """Runs a phase in a process of its own, which has its own peak of memory; its progress goes where ours does."""
    load = os.getloadavg()[0]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise ConfigError(f"{' '.join(command[:3])} ended with exit code {process.returncode}: see the message above")
    figures: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return {**figures, "load_average_before": load}
