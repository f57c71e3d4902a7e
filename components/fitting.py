"""Fits a recommender to sessions: no TFX, no files; the Trainer, benchmarks and experiments call `fit`."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras

from nextclick.components.averaging import WeightAverage
from nextclick.components.batches import Plan, make_plan
from nextclick.components.dataset import Split
from nextclick.components.model import Recommender, build_model
from nextclick.components.scorer import Scorer
from nextclick.components.sequences import Sequences
from nextclick.components.session_parallel import lane_count, make_session_parallel_plan
from nextclick.components.stateful_steps import StatefulSteps
from nextclick.components.steps import TrainingSteps
from nextclick.components.validation import Judge
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config, TrainingConfig

Report = Callable[[str], None]
# Changes a model with fresh weights before its first step, knowing its training windows; see warm_start.py.
Start = Callable[[Recommender, Sequences], None]
_SECONDS_BETWEEN_REPORTS = 5.0
_FIRST_CHUNK = 5  # batches
# Training events and the dropout that suits them, chosen on validation.
_DROPOUTS = ((50_000, 0.35), (500_000, 0.2))
# Steps that an epoch has at least, as far as the smallest batch allows, chosen on validation.
_EPOCH_STEPS = 75
_BATCH_SIZES = (32, 512)


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One line of the history; the validation figures are NaN where nothing was validated on.

    Attributes:
      epoch: from 1.
      loss: mean over the epoch's events.
      recall, mrr: at 20, on validation.
      seconds: of training and validation.
      training_seconds: of training alone.
      cpu_seconds: processor time of training alone, of all threads.
      events: pairs of input and target trained on.
      skipped_steps: those that changed nothing, since a gradient was not finite in float16.
    """

    epoch: int
    loss: float
    recall: float
    mrr: float
    seconds: float
    training_seconds: float
    cpu_seconds: float
    events: int
    skipped_steps: int = 0


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a training gives.

    Attributes:
      model: with the weights of its best epoch.
      best_epoch: the number of that epoch; 0: the model is untrained.
      history: every epoch that was trained.
      config: with the dropout and the batch size that were settled on (`settled`).
      member_history: epochs of the other members of an ensemble.
      refit_history: epochs of the training on all data, where there was one; `model` is then of the last.
      mrr_before: at 20, on validation, before the first step of a model that did not start from fresh weights.
    """

    model: Recommender
    best_epoch: int
    history: list[Epoch]
    config: Config
    member_history: list[Epoch] = dataclasses.field(default_factory=list)
    refit_history: list[Epoch] = dataclasses.field(default_factory=list)
    mrr_before: float | None = None


def fit(
    config: Config,
    train: Split,
    validation: Split,
    items: int,
    *,
    report: Report | None = None,
    start: Start | None = None,
) -> Fitted:
    """Trains until validation MRR@20 stops rising, and returns the weights of the best epoch.

    Args:
      config: everything but the data; equal configurations and data give equal weights on equal machines.
      train: sessions and windows; indices as `contract` numbers them.
      validation: decides when to stop; with no sessions, all of `training.epochs` are trained.
      items: size of the vocabulary.
      report: receives a line of progress every few seconds; by default it goes to stderr.
      start: sets the weights to start from; None: fresh ones.
    """
    report = report or _to_stderr
    run = _Run(config, train, items, report, start)
    judge = Judge(Scorer(run.model, config.features.lookback), validation.sessions)
    before = judge()[1] if start else None
    best = _Best(run.model)
    history: list[Epoch] = []
    for number in range(1, config.training.epochs + 1):
        if run.exhausted or number - 1 - best.epoch >= config.training.patience:
            break
        history.append(_one_epoch(run, judge, number))
        if best.offer(history[-1]):
            best.keep(run.model, history[-1])
    best.restore(run.model)
    return Fitted(run.model, best.epoch, history, run.config, mrr_before=before)


def fit_epochs(
    config: Config, train: Split, items: int, epochs: int, *, report: Report | None = None, start: Start | None = None
) -> Fitted:
    """Trains for a given number of epochs, with nothing held out: the second half of `data.refit`."""
    run = _Run(config, train, items, report or _to_stderr, start)
    history = []
    for number in range(1, epochs + 1):
        if not run.exhausted:
            history.append(_one_epoch(run, None, number))
    return Fitted(run.model, len(history), history, run.config)


class _Best:
    """Weights of the best epoch so far."""

    def __init__(self, model: Recommender) -> None:
        self.epoch, self._mrr = 0, -1.0
        self._weights = model.get_weights()

    def offer(self, line: Epoch) -> bool:
        """Whether an epoch is the best so far; without validation the latest is."""
        return math.isnan(line.mrr) or line.mrr > self._mrr

    def keep(self, model: Recommender, line: Epoch) -> None:
        self.epoch, self._mrr, self._weights = line.epoch, line.mrr, model.get_weights()

    def restore(self, model: Recommender) -> None:
        model.set_weights(self._weights)


def settled(config: Config, windows: Sequences) -> Config:
    """The configuration with the dropout and the batch size for so much data, where it names none.

    What has seen little learns it by heart and needs more dropout; what has seen much is held back by it. Large batches
    are faster, but leave little data too few steps (docs/experiments.md).
    """
    events = int((windows.lengths - 1).sum())
    changes: dict[str, Any] = {}
    if config.model.dropout < 0:
        changes["model.dropout"] = _dropout(events)
    if not config.training.batch_size:
        smallest, largest = _BATCH_SIZES
        changes["training.batch_size"] = min(max(events // _EPOCH_STEPS, smallest), largest)
    return configuration.replace(config, changes)


def _dropout(events: int) -> float:
    """In between it falls with the logarithm of the events."""
    few, many = _DROPOUTS
    share = math.log(max(events, 1) / few[0]) / math.log(many[0] / few[0])
    return few[1] + (many[1] - few[1]) * min(max(share, 0.0), 1.0)


class _Run:
    """Everything that lives as long as one training."""

    def __init__(self, config: Config, train: Split, items: int, report: Report, start: Start | None) -> None:
        tf_keras.utils.set_random_seed(config.seed % 2**32)
        config = settled(config, train.windows)
        self.config, self.report = config, report
        self.model = build_model(config, items, train.side)
        if start:
            start(self.model, train.windows)
        self.rows = _with_pairs(train.sessions) if config.training.stateful else train.windows
        self.steps_left = math.inf if config.training.max_steps < 0 else config.training.max_steps
        total_steps = int(min(self.steps_left, _epoch_steps(self.rows, config.training) * config.training.epochs))
        kind = StatefulSteps if config.training.stateful else TrainingSteps
        self.steps = kind(self.model, self.rows, config.training, config.seed, total_steps=total_steps)
        self.generator = np.random.default_rng(config.seed)
        self._average = WeightAverage(self.model, config.training.average_epochs)

    @property
    def exhausted(self) -> bool:
        """Nothing is left to do: nothing to train on, or no step."""
        return self.steps_left <= 0 or not len(self.rows)

    def train_epoch(self, number: int) -> tuple[float, int]:
        """Sum of losses, and events, of one pass over the training split; the model then has its averaged weights."""
        self._average.train_on()
        plan = self._plan()
        count = int(min(len(plan), self.steps_left))
        self.steps_left -= count
        loss, events, done, chunk = 0.0, 0, 0, _FIRST_CHUNK
        start = last_report = time.monotonic()
        while done < count:
            stop = min(count, done + chunk)
            part = self.steps.run(plan, done, stop)
            loss, events, done = loss + part[0], events + part[1], stop
            now = time.monotonic()
            # Calls of about a second: rare enough to cost nothing, frequent enough to report and to interrupt.
            chunk = max(1, int(done / max(now - start, 1e-3)))
            if now - last_report > _SECONDS_BETWEEN_REPORTS:
                last_report = now
                self.report(
                    f"epoch {number} of at most {self.config.training.epochs}: {done} of {count} steps, "
                    f"loss {loss / max(events, 1):.4f}, {events / (now - start):,.0f} events/s"
                )
        self._average.take()
        return loss, events

    def _plan(self) -> Plan:
        config = self.config.training
        if isinstance(self.steps, StatefulSteps):
            return make_session_parallel_plan(self.rows, self.steps.lanes, config.stateful_steps, self.generator)
        return make_plan(self.rows, config.batch_size, self.generator)


def _epoch_steps(rows: Sequences, config: TrainingConfig) -> int:
    """Batches of an epoch, about."""
    if config.stateful:
        return len(make_session_parallel_plan(rows, lane_count(rows, config), config.stateful_steps))
    return round(int((rows.lengths - 1).sum()) / config.batch_size)


def _with_pairs(sessions: Sequences) -> Sequences:
    """The sessions in which an item follows another."""
    return sessions.take(np.flatnonzero(sessions.lengths > 1))


def _one_epoch(run: _Run, judge: Judge | None, number: int) -> Epoch:
    start, cpu, skipped = time.monotonic(), time.process_time(), run.steps.skipped_steps
    loss, events = run.train_epoch(number)
    trained, cpu = time.monotonic(), time.process_time() - cpu
    recall, mrr = judge() if judge else (math.nan, math.nan)
    line = Epoch(
        epoch=number,
        loss=loss / max(events, 1),
        recall=recall,
        mrr=mrr,
        seconds=time.monotonic() - start,
        training_seconds=trained - start,
        cpu_seconds=cpu,
        events=events,
        skipped_steps=run.steps.skipped_steps - skipped,
    )
    validated = "" if math.isnan(mrr) else f", validation Recall@20 {recall:.4f}, MRR@20 {mrr:.4f}"
    speed = events / max(line.training_seconds, 1e-9)
    run.report(f"epoch {number}: loss {line.loss:.4f}{validated}, {speed:,.0f} events/s, {line.seconds:.1f} s")
    return line


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
