"""Cross-validation in the order of time: for how many epochs the final model is trained, judged on several days.

One validation split may be an odd day. Fold 1 is the configured split; each further fold is judged on the sessions
just before those of the fold before, as many as the validation split has, and trained on all that ended earlier:

    |--------- train ---------|-- 3 --|-- 2 --|-- 1 --|      (three folds; 1 is the validation split)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from nextclick.components import dataset, fitting
from nextclick.components.dataset import Split
from nextclick.pipeline.config import Config


def best_epochs(config: Config, train: Split, validation: Split, items: int) -> list[int]:
    """The best epoch of every fold but the first, latest sessions first; arguments as of `recipe.train`."""
    found = []
    for number, (before, judged) in enumerate(earlier(config, train, len(validation.sessions)), 2):
        print(f"fold {number} of {config.training.folds}", file=sys.stderr, flush=True)
        found.append(fitting.fit(config, before, judged, items).best_epoch)
    return found


def chosen(epochs: list[int]) -> int:
    """From the folds' best epochs to that of the final model: their mean, rounded, but at least one."""
    return max(1, int(np.floor(np.mean(epochs) + 0.5)))


def earlier(config: Config, train: Split, size: int) -> Iterator[tuple[Split, Split]]:
    """What is trained on and judged on in each fold but the first; folds for which nothing is left are not made.

    Args:
      config: with `training.folds`.
      train: the training split.
      size: sessions that each fold is judged on.
    """
    order = np.argsort(train.end_times_ms, kind="stable")
    for number in range(1, config.training.folds):
        first = len(order) - number * size
        if first <= 0 or not size:
            return
        yield _part(config, train, order[:first]), _part(config, train, order[first : first + size])


def _part(config: Config, train: Split, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Split:
    sessions, end_times_ms = train.sessions.take(rows), train.end_times_ms[rows]
    return dataset.split_of(sessions, config.features.window_length, end_times_ms, train.side)
