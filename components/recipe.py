"""From a configuration and two splits to what is exported: networks, the hybrid part, and whether they saw everything.

1. Train on the training split until validation MRR@20 stops rising; `training.members` - 1 further networks, from
   seeds of their own, for as many epochs as that one took to its best. With `data.refit` they would only be thrown
   away, so they are not trained here, but for a vote: its points are not on one network's scale.
2. With a hybrid part, its weight is the best one on validation, of what knows the training split only.
3. With `data.refit` and `training.folds`, further folds have a say in how many epochs that is (folds.py).
4. With `data.refit`, the networks and the hybrid part are made again from both splits, for as many epochs, with
   that weight: nothing is left to choose it on.

With a warm start (warm_start.py) both 1 and 4 begin at the served model's weights, and 4 takes
`training.warm_refit_epochs` at least: the served model was itself refit, often on all that lies before the validation
split, so that 1 has little to teach it and validation wants few epochs, while 4 has the newest days, which are new to
it (docs/training.md). Folds would be judged on what it has learnt, so there are none.
"""

from __future__ import annotations

import dataclasses
import sys

from nextclick.components import dataset, fitting, folds, hybrid
from nextclick.components.dataset import Split
from nextclick.components.fitting import Epoch, Fitted, Start
from nextclick.components.model import Recommender
from nextclick.components.scorer import Scorer
from nextclick.components.validation import Judge
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

# Between the seeds of members, so that runs with neighbouring seeds have no member in common.
_SEED_STEP = 1_000_003


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a recipe gives.

    Attributes:
      scorer: of the networks and, where there is one, the hybrid part.
      fitted: the first network's training; `refit_history` and `member_history` are those of all others.
      hybrid_weight: share of the hybrid part's votes in a score.
      fold_epochs: the best epoch of each fold; empty where there is one only.
    """

    scorer: Scorer
    fitted: Fitted
    hybrid_weight: float
    fold_epochs: tuple[int, ...] = ()

    @property
    def parameters(self) -> int:
        """Trained weights of all networks."""
        return sum(int(model.count_params()) for model in self.scorer.models)


def train(
    config: Config,
    train_split: Split,
    validation: Split,
    items: int,
    start: Start | None = None,
    seen_until_ms: int = 0,
) -> Trained:
    """Follows the recipe (see the module's text).

    Args:
      config: everything but the data.
      train_split: what is trained on.
      validation: what is chosen on; with `data.refit` it is trained on in the end.
      items: size of the vocabulary.
      start: what each network's weights are at first; None: as its seed says.
      seen_until_ms: time up to which `start` has learnt from sessions, milliseconds since the epoch: validation
        sessions that had ended by then choose nothing.
    """
    judged = dataset.ended_after(validation, seen_until_ms)
    warm_epochs = min(config.training.epochs, config.training.warm_refit_epochs) if start else 0
    if start and not (judged.sessions.lengths > 1).any():
        config = configuration.replace(config, {"training.epochs": warm_epochs})
        print("warm start: the served model has learnt every validation session, so none judges it", file=sys.stderr)
    fitted = fitting.fit(config, train_split, judged, items, start=start)
    if not fitted.best_epoch:  # an untrained model is exported as it is
        return Trained(Scorer(fitted.model, config.features.lookback), fitted, 0.0)
    alone = config.data.refit and not _votes(config)
    networks, history = ([], []) if alone else _members(config, train_split, items, fitted.best_epoch, start, first=1)
    networks = [fitted.model, *networks]
    mixed = hybrid.build(config.hybrid, train_split, items, fitted.model.first_item)
    weight = _chosen_weight(config, mixed, networks, judged)
    fitted = dataclasses.replace(fitted, member_history=history)
    fold_epochs: list[int] = []
    if config.data.refit:
        if config.training.folds > 1 and not start:
            fold_epochs = [fitted.best_epoch, *folds.best_epochs(config, train_split, validation, items)]
        epochs = max(warm_epochs, folds.chosen(fold_epochs) if fold_epochs else fitted.best_epoch)
        print(f"refit on train and validation for {epochs} epochs", file=sys.stderr, flush=True)
        both = dataset.concatenate(train_split, validation)
        networks, history = _members(config, both, items, epochs, start, first=0)
        mixed = hybrid.build(config.hybrid, both, items, fitted.model.first_item)
        fitted = dataclasses.replace(fitted, model=networks[0], refit_history=history)
    if mixed:
        mixed.weight.assign(weight)
    return Trained(_scorer(config, networks, mixed if weight else None), fitted, weight, tuple(fold_epochs))


def _members(
    config: Config, split: Split, items: int, epochs: int, start: Start | None, *, first: int
) -> tuple[list[Recommender], list[Epoch]]:
    """The networks of an ensemble from number `first` on, trained for so many epochs, and all their epochs."""
    trained = [
        fitting.fit_epochs(_of_member(config, number), split, items, epochs, start=start)
        for number in range(first, config.training.members)
    ]
    return [fitted.model for fitted in trained], [epoch for fitted in trained for epoch in fitted.history]


def _scorer(config: Config, networks: list[Recommender], mixed: hybrid.Hybrid | None) -> Scorer:
    return Scorer(networks, config.features.lookback, mixed, vote=_votes(config))


def _votes(config: Config) -> bool:
    return config.training.ensemble == "vote"


def _of_member(config: Config, number: int) -> Config:
    return configuration.replace(config, {"seed": config.seed + number * _SEED_STEP})


def _chosen_weight(
    config: Config, mixed: hybrid.Hybrid | None, networks: list[Recommender], validation: Split
) -> float:
    if mixed is None:
        return 0.0
    judge = Judge(_scorer(config, networks, mixed), validation.sessions)
    weight = hybrid.choose_weight(config.hybrid, mixed, judge)
    print(f"the session kNN has a weight of {weight:.1f}", file=sys.stderr, flush=True)
    return weight
