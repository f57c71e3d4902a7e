"""How the session kNN's settings were chosen, and how near to the published VMIS-kNN it is (docs/baselines.md).

python -m nextclick.pipeline.benchmarks.session_knn LOG [LOG ...]
    a grid of settings on the validation split of each log, as `nextclick run` cuts it; the best ones last
python -m nextclick.pipeline.benchmarks.session_knn LOG --test-data LOG
    the published settings and ours on a test log, learnt from the whole first log
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nextclick.components import contract, metrics, session_knn
from nextclick.components.ranking import Ranker, Sessions
from nextclick.components.session_knn import SERENADE, Settings
from nextclick.pipeline import config as configuration
from nextclick.pipeline import overrides
from nextclick.pipeline.config import Config

_SHOWN_BEST = 5
# Looked at in this order: what makes sessions alike first, then how far the search goes.
_START = Settings(recent=1000, neighbours=200)
_RECENT, _NEIGHBOURS, _LOOKBACKS = (300, 500, 1000, 2000), (100, 200, 300, 500), (3, 5, 9)


@dataclasses.dataclass(frozen=True)
class Log:
    """A log's training sessions, those to predict, and how many items training knows."""

    training: Sessions
    asked: Sessions
    items: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each setting: mean of Recall@20 + MRR@20 over the logs, then both of each log."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("logs", metavar="LOG", nargs="+", help="click logs")
    parser.add_argument("--test-data", metavar="LOG", help="ask about this log with the published settings and ours")
    args = parser.parse_args(arguments)
    logs = [read(path, args.test_data) for path in args.logs]
    if args.test_data:
        for settings in (SERENADE, dataclasses.replace(SERENADE, lookback=4), Settings()):
            _tell(logs, settings)
        return 0
    found = {settings: _tell(logs, settings) for settings in _likenesses()}
    likeness = max(found, key=lambda settings: found[settings])
    for settings in _reaches(likeness):
        found[settings] = _tell(logs, settings)
    print("best:")
    for settings in sorted(found, key=lambda settings: -found[settings])[:_SHOWN_BEST]:
        print(f"{found[settings]:.4f}  {settings}")
    return 0


def _likenesses() -> Iterator[Settings]:
    for harmonic, by_rarity, by_length in itertools.product((True, False), repeat=3):
        yield dataclasses.replace(_START, harmonic=harmonic, by_rarity=by_rarity, by_length=by_length)


def _reaches(likeness: Settings) -> Iterator[Settings]:
    for lookback, recent, neighbours in itertools.product(_LOOKBACKS, _RECENT, _NEIGHBOURS):
        yield dataclasses.replace(likeness, lookback=lookback, recent=recent, neighbours=neighbours)


def read(log: str, test_log: str | None) -> Log:
    """The sessions as the pipeline's own ExampleGen and Transform make them of a log; validation without a test log."""
    from nextclick.components.baseline_examples import learn
    from nextclick.components.session_encoder import SessionEncoder, joined
    from nextclick.pipeline import lineage, local  # imports TFX, ten seconds

    changes = {"data.refit": test_log is not None, "data.test_path": test_log or ""}
    config = overrides.with_paths(configuration.replace(Config(), changes), [log])
    with tempfile.TemporaryDirectory(prefix="nextclick-knn-") as folder:
        local.make_examples(config, Path(folder), transformed=True)
        nodes = lineage.latest_run(str(Path(folder).resolve() / "metadata.sqlite"))
        examples = Path(nodes["SessionExampleGen"].outputs["examples"].uri)
        encoder = SessionEncoder(nodes["Transform"].outputs["transform_graph"].uri, config.features.oov_buckets)
        learnt = [contract.TRAIN, contract.VALIDATION] if test_log else [contract.TRAIN]
        asked = _files(examples, contract.TEST if test_log else contract.VALIDATION)
        return Log(
            training=learn(encoder, [file for split in learnt for file in _files(examples, split)]).sessions,
            asked=joined([batch.sessions for batch in encoder.batches(asked)]),
            items=encoder.items,
        )


def _files(examples: Path, split: str) -> list[str]:
    return sorted(str(path) for path in (examples / f"Split-{split}").glob("*"))


def _tell(logs: Sequence[Log], settings: Settings) -> float:
    figures = [score(log, settings) for log in logs]
    mean = float(np.mean([sum(pair) for pair in figures]))
    shown = "  ".join(f"Recall@20 {recall:.4f} MRR@20 {mrr:.4f}" for recall, mrr in figures)
    print(f"{mean:.4f}  {shown}  {settings}", flush=True)
    return mean


def score(log: Log, settings: Settings) -> tuple[float, float]:
    """Recall@20 and MRR@20 over every prefix of the sessions asked about."""
    ranker = Ranker(session_knn.fit(log.training, log.items, settings), log.training.clicks(log.items))
    lookback = Config().features.lookback
    ranks = [ranker.session_ranks(session, lookback) for session in log.asked]
    counts = metrics.RankCounts.of(np.concatenate([*ranks, np.empty(0, np.int64)]))
    return counts.value("recall@20"), counts.value("mrr@20")


if __name__ == "__main__":
    sys.exit(main())
