"""Is there a reason to train again? What `nextclick run --if-changed` asks before it runs anything dear.

nothing is served        there is no model yet, or it was taken away
a new span               the log has a span that is newer than the last run's (components/spans.py)
changed files            content or names differ from the last run's, where `retrain.new_data` is on
age                      the served model is older than `retrain.max_age_days`
drift                    the newest clicks of changed files are further than `retrain.max_drift` from those that
                         the last run learnt from; measured where nothing else is a reason, since it takes a while
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nextclick.components import contract, example_gen, inputs, served
from nextclick.components.fresh_drift import fresh_drift
from nextclick.pipeline import lineage, local, report
from nextclick.pipeline.config import Config
from nextclick.pipeline.page.history import LATEST

_DAY_SECONDS = 24 * 60 * 60


@dataclasses.dataclass(frozen=True)
class Occasion:
    """What was found.

    Attributes:
        reasons: why to train, in words; none: there is no reason.
        remarks: what else was looked at and is no reason.
    """

    reasons: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Finding:
    holds: bool
    text: str


def look(effective: Config, folder: Path) -> Occasion:
    """Looks for reasons to train under a root folder.

    Raises:
        ConfigError, DataError: wrong settings or input.
    """
    root = local.Root(folder.resolve())
    last = _last_run(root)
    if last is None:
        return Occasion((f"no run has finished under {root.path} yet",), ())
    differs = example_gen.input_fingerprint(effective) != last["run"]["data_sha256"]
    found = [*_served(effective, root), _new_span(effective, last), _changed_files(effective, last, differs)]
    if not any(one.holds for one in found) and differs:
        found.append(_drift(effective, root, last))
    said = [one for one in found if one.text]
    return Occasion(tuple(one.text for one in said if one.holds), tuple(one.text for one in said if not one.holds))


def _last_run(root: local.Root) -> dict[str, Any] | None:
    """metrics.json of the newest finished run."""
    if not (root.path / "reports" / LATEST / report.METRICS).is_file():
        return None
    return report.newest(root.path)[1]


def _served(effective: Config, root: local.Root) -> Iterator[_Finding]:
    version = served.newest_version(str(root.serving(effective.serving.model_name)))
    if not version:
        yield _Finding(True, "nothing is served")
        return
    # A version is the second of its push (components/push.py).
    days = max(0.0, time.time() - int(version)) / _DAY_SECONDS
    limit = effective.retrain.max_age_days
    pushed = f"{datetime.datetime.fromtimestamp(int(version), datetime.timezone.utc):%Y-%m-%d %H:%M} UTC"
    text = f"the served model was pushed on {pushed}, {days:.1f} days ago"
    if limit:
        text += f", {'more' if days > limit else 'less'} than {limit:g}"
    yield _Finding(bool(limit) and days > limit, text)


def _new_span(effective: Config, last: Mapping[str, Any]) -> _Finding:
    newest, before = inputs.newest_span(effective.data), last["run"].get("newest_span")
    if newest is None:
        return _Finding(False, "")
    if before is not None and newest <= before:
        return _Finding(False, f"span {newest} is not newer than the last run's")
    return _Finding(True, f"span {newest} is new" + ("" if before is None else f", the last run read up to {before}"))


def _changed_files(effective: Config, last: Mapping[str, Any], differs: bool) -> _Finding:
    run = f"run {last['run']['id']}"
    if not differs:
        return _Finding(False, f"the data are those of {run}")
    if effective.retrain.new_data:
        return _Finding(True, f"the data are not those of {run}")
    return _Finding(False, f"the data are not those of {run}, which alone is no reason (retrain.new_data=false)")


def _drift(effective: Config, root: local.Root, last: Mapping[str, Any]) -> _Finding:
    """Of the new test split from the training split of the last run that trained."""
    nodes = lineage.latest_run(str(root.metadata), holding="Trainer")
    learnt = [contract.TRAIN, contract.VALIDATION] if last["config"]["data"]["refit"] else [contract.TRAIN]
    local.make_examples(effective, root.path, transformed=False)
    fresh = lineage.latest_run(str(root.metadata), holding="SessionExampleGen")
    found = fresh_drift(
        nodes["Transform"].outputs["transform_graph"].uri,
        last["config"]["features"]["oov_buckets"],
        [file for split in learnt for file in _files(nodes, split)],
        _files(fresh, contract.TEST),
    )
    name = max(found, key=lambda one: found[one])
    limit = effective.retrain.max_drift
    holds = found[name] > limit
    side = "more" if holds else "not more"
    return _Finding(holds, f"{name} of the newest clicks is {found[name]:.3f}, {side} than {limit:g}")


def _files(nodes: Mapping[str, lineage.NodeRun], split: str) -> list[str]:
    folder = Path(nodes["SessionExampleGen"].outputs["examples"].uri) / f"Split-{split}"
    return sorted(str(path) for path in folder.glob("*"))
