"""`tuner_fn` of TFX's Tuner: a KerasTuner search whose trials are trainings of ours, judged on the validation split."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import keras_tuner
from keras_tuner.engine import base_tuner
from tensorflow_transform.output_wrapper import TFTransformOutput

from nextclick.components import contract, dataset, fitting, search_space, trainer
from nextclick.components.search_space import Dimension
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import DataError

OBJECTIVE = "validation_mrr@20"


class TunerFnResult(NamedTuple):
    """What TFX's Tuner expects of a tuner_fn."""

    tuner: Any
    fit_kwargs: dict[str, Any]


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """The search that the configuration describes.

    Args:
      fn_args: as `trainer.run_fn` is given them, with `transform_graph_path` and `working_dir`.

    Raises: ConfigError for a wrong search space, DataError where there is nothing to learn.
    """
    config = configuration.from_json(fn_args.custom_config["config"])
    trainer.set_threads(config.training.threads)
    transform = TFTransformOutput(fn_args.transform_graph_path)
    read = dataset.reader(config, transform)
    train = read(fn_args.train_files)
    trainer.check_known(train, config)
    validation = read(fn_args.eval_files)
    if not (validation.sessions.lengths > 1).any():
        raise DataError("the validation split has no session to judge a trial by: give a log of more days")
    items = len(transform.vocabulary_by_name(contract.VOCABULARY_NAME))
    tuner = RecommenderTuner(config, train, validation, items, directory=fn_args.working_dir)
    return TunerFnResult(tuner, {"verbose": 0})


class RecommenderTuner(base_tuner.BaseTuner):
    """Trains a recommender in each trial; the objective is the MRR@20 of its best epoch on validation.

    Args:
      config: its section `tuning` says what is searched, all else what stays the same.
      train: sessions and windows to train on.
      validation: sessions to stop by and to judge on.
      items: size of the vocabulary.
      directory: where KerasTuner keeps its state.
    """

    def __init__(
        self, config: Config, train: dataset.Split, validation: dataset.Split, items: int, *, directory: str
    ) -> None:
        self._config, self._train, self._validation, self._items = config, train, validation, items
        # With parallel trials the chief and the first worker share a machine, and each begins by emptying its folder.
        project = f"tuning-{os.environ.get('KERASTUNER_TUNER_ID', 'alone')}"
        super().__init__(oracle(config), directory=directory, project_name=project, overwrite=True)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains with the trial's values; returns the best epoch's figures."""
        chosen = dict(trial.hyperparameters.values)
        config = configuration.replace(self._config, chosen)
        fitted = fitting.fit(config, self._train, self._validation, self._items, report=_nothing)
        best = fitted.history[fitted.best_epoch - 1]
        settings = ", ".join(f"{key}={value}" for key, value in chosen.items())
        print(
            f"trial {int(trial.trial_id) + 1} of {config.tuning.trials}: validation MRR@20 {best.mrr:.4f}, Recall@20 "
            f"{best.recall:.4f}, best epoch {best.epoch} of {len(fitted.history)}: {settings}",
            file=sys.stderr,
            flush=True,
        )
        return {OBJECTIVE: best.mrr, "validation_recall@20": best.recall, "best_epoch": float(best.epoch)}

    def search_space_summary(self, extended: bool = False) -> None:
        """Nothing: standard output is the command's."""

    def results_summary(self, num_trials: int = 10) -> None:
        """Nothing: as above."""


def oracle(config: Config) -> Any:
    """What proposes the values of each trial."""
    space = keras_tuner.HyperParameters()
    for dimension in search_space.parse(config):
        _add(space, dimension)
    kinds = {
        "random": keras_tuner.oracles.RandomSearchOracle,
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    }
    return kinds[config.tuning.strategy](
        objective=keras_tuner.Objective(OBJECTIVE, direction="max"),
        max_trials=config.tuning.trials,
        seed=config.seed,
        hyperparameters=space,
        allow_new_entries=False,
    )


def _add(space: Any, dimension: Dimension) -> None:
    if dimension.choices:
        space.Choice(dimension.key, list(dimension.choices))
        return
    kind = space.Int if dimension.whole else space.Float
    kind(dimension.key, dimension.low, dimension.high, sampling="log" if dimension.log else "linear")


def _nothing(line: str) -> None:
    """Takes no notice of the progress within a trial."""
