"""Helpers of the tests that run the real pipeline: a small click log, and the command line in a process of its own."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# A run of the whole pipeline that takes well under a minute: a small network, few epochs on few clicks.
SMALL = {
    "training.epochs": 12,
    "training.batch_size": 64,
    "training.learning_rate": 0.01,
    "model.embedding_size": 16,
    "model.hidden_units": 16,
    "gate.min_recall_lift": -1,
    "gate.min_mrr_lift": -1,
}
DAY = 24 * 60 * 60


def write_clicks(path: Path, sessions: int = 400, seed: int = 1) -> Path:
    """A log in which item i is followed by item i + 1, modulo 30, nearly always; sessions over ten days."""
    chance = random.Random(seed)
    lines = ["session_id,item_id,timestamp"]
    for session in range(sessions):
        start = 1_700_000_000 + session * 10 * DAY // sessions
        item = chance.randrange(30)
        for position in range(chance.randint(2, 9)):
            lines.append(f"s{session},item {item},{start + 60 * position}")
            item = chance.randrange(30) if chance.random() < 0.05 else (item + 1) % 30
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


def command(*arguments: str | Path) -> list[str]:
    """The console command in this interpreter."""
    return [sys.executable, "-m", "nextclick.pipeline.cli", *map(str, arguments)]


def nextclick(*arguments: str | Path, cwd: Path | None = None) -> Outcome:
    """Runs `nextclick ARGUMENTS` in a process of its own."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=900, cwd=cwd, env=environment())
    return Outcome(done.returncode, done.stdout, done.stderr)


def environment() -> dict[str, str]:
    """The environment of a user who has set nothing."""
    return {
        name: value for name, value in os.environ.items() if name not in ("TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL")
    }


def small_settings(**changes: object) -> list[str]:
    """`--set` options of a small run; a name's double underscore stands for the dot."""
    settings = {**SMALL, **{key.replace("__", "."): value for key, value in changes.items()}}
    return [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]


@functools.cache
def first_run() -> tuple[Path, Path, Outcome]:
    """A log, the root of a run of it that pushed a model, and the run's outcome; test modules share them."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    clicks = write_clicks(folder / "clicks.csv")
    root = folder / "root"
    outcome = nextclick("run", "--data", clicks, "--root", root, *small_settings())
    copy_root(root, root.with_name("untouched"))
    return clicks, root, outcome


def untouched_root() -> Path:
    """The first run's root as it was before any later run in it."""
    return first_run()[1].with_name("untouched")


@functools.cache
def second_run() -> tuple[Path, Outcome, dict]:
    """A run on the same data in the same root, because of the model's age and with a BulkInferrer.

    Returns: the root as it was then (its artifacts stay where they are), the outcome and the answer of `--json`.
    """
    clicks, root, _ = first_run()
    kept, answer = root.with_name("second"), root.with_name("second.json")
    settings = small_settings(retrain__max_age_days=1e-9, serving__bulk_inferrer="test")
    outcome = nextclick("run", "--if-changed", "--data", clicks, "--root", root, "--json", answer, *settings)
    assert outcome.code == 0, outcome.err
    copy_root(root, kept)
    return kept, outcome, json.loads(answer.read_text(encoding="utf-8"))


def copy_root(root: Path, target: Path) -> None:
    """A root that may be changed without the other's being so; its artifacts stay where they are."""
    shutil.copytree(root, target, symlinks=True, ignore=shutil.ignore_patterns("artifacts"))


def metrics(root: Path) -> dict:
    """metrics.json of the newest run."""
    return json.loads((root / "reports" / "latest" / "metrics.json").read_text(encoding="utf-8"))
