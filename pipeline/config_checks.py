"""What a configuration must not combine: checks of one setting against others; config.py asks them of every Config.

Standard library only, as config.py.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nextclick.components.contract import MAX_REQUEST_ITEMS, SIDE_FEATURES

if TYPE_CHECKING:
    from nextclick.pipeline.config import Config, DataConfig, FeaturesConfig, TrainingConfig


def problems(config: Config) -> Iterator[str]:
    """Every combination that does not go together, each in words; each value must be right by itself."""
    if config.data.min_session_length > config.data.max_session_length:
        yield "data.min_session_length must not be greater than data.max_session_length"
    if config.training.label_smoothing and config.training.loss in ("bpr_max", "top1_max"):
        yield f"training.label_smoothing is of softmax losses: set it to 0 for training.loss={config.training.loss}"
    if config.training.folds > 1 and not config.data.refit:
        yield "training.folds chooses the epochs of the refit: leave data.refit on, or folds at 1"
    if config.training.ensemble == "vote" and config.training.members == 1:
        yield "training.ensemble=vote needs training.members of 2 or more"
    if config.tuning.parallel_trials > config.tuning.trials:
        yield (
            f"tuning.parallel_trials must not be greater than tuning.trials, received "
            f"{config.tuning.parallel_trials} and {config.tuning.trials}"
        )
    if config.serving.bulk_inferrer != "off" and config.data.max_session_length > MAX_REQUEST_ITEMS:
        yield f"serving.bulk_inferrer needs data.max_session_length of at most {MAX_REQUEST_ITEMS}, as requests do"
    if -1 < config.model.dropout < 0:
        yield f"model.dropout must be -1 or not negative, received {config.model.dropout!r}"
    yield from _horizon_problems(config.training, config.features.window_length)
    yield from _stateful_problems(config)
    yield from _column_problems(config.data)
    yield from _side_feature_problems(config.data, config.features)
    if config.model.side_features != "off" and not config.features.side_features:
        yield f"features.side_features must name one at least for model.side_features={config.model.side_features}"


def _horizon_problems(training: TrainingConfig, window_length: int) -> Iterator[str]:
    outputs, weights = training.horizon, training.horizon_weights
    if outputs > window_length:
        yield f"training.horizon must be at most features.window_length ({window_length}), received {outputs}"
    if weights and len(weights) != outputs:
        yield f"training.horizon_weights must be as many as training.horizon={outputs}, received {len(weights)}"
    elif weights and (min(weights) < 0 or not weights[0]):
        yield f"training.horizon_weights must begin above 0 and not be negative, received {list(weights)!r}"


def _stateful_problems(config: Config) -> Iterator[str]:
    if not config.training.stateful:
        return
    if config.model.attention != "off":
        yield "training.stateful keeps one state of a session, model.attention reads all: set it to off"
    if config.model.bidirectional:
        yield "training.stateful keeps no clicks of earlier batches, model.bidirectional reads them: set it to false"
    if config.model.recurrent_dropout:
        yield "training.stateful keeps no session's mask, model.recurrent_dropout needs one: set it to 0"
    if config.training.horizon > 1:
        yield "training.stateful has several sessions in a row, training.horizon reads on in a row: set it to 1"
    if 0 < config.training.batch_size < config.training.stateful_steps:
        yield (
            f"training.stateful_steps must be at most training.batch_size ({config.training.batch_size}), "
            f"received {config.training.stateful_steps}"
        )


def _column_problems(data: DataConfig) -> Iterator[str]:
    fields = [field for field, _, column in (entry.partition("=") for entry in data.columns) if column.strip()]
    needed = ["user_id" if "user_id" in fields else "session_id", "item_id", "timestamp"]
    expected = (sorted(needed), sorted([*needed, "event_type"]))
    if (data.columns or data.format == "columns") and (
        sorted(fields) not in expected or len(fields) != len(data.columns)
    ):
        yield (
            "data.columns must name session_id (or user_id), item_id, timestamp and perhaps event_type, "
            f"each as field=column, received {list(data.columns)!r}"
        )
    if data.consent and not all(part.strip() for part in data.consent.partition("=")):
        yield f"data.consent must be column=value, received {data.consent!r}"


def _side_feature_problems(data: DataConfig, features: FeaturesConfig) -> Iterator[str]:
    for name in data.attributes:
        if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", name):
            yield f"data.attributes must be names in small letters, digits, _ and . between them, received {name!r}"
    attributes = [name.replace(".", "_") for name in data.attributes]
    known = [*SIDE_FEATURES, *(f"attribute_{name}" for name in attributes)]
    for name in features.side_features:
        if name not in known:
            yield f"features.side_features must be among {', '.join(known)}, received {name!r}"
    for key, names in (("data.attributes", attributes), ("features.side_features", features.side_features)):
        if len(set(names)) < len(names):
            yield f"{key} must name each once, received {list(names)!r}"
    if "price" in features.side_features and features.price_attribute not in data.attributes:
        yield f"data.attributes must hold {features.price_attribute} (features.price_attribute) for the feature price"
    if not _is_time_zone(features.time_zone):
        yield f"features.time_zone must be an IANA name such as Europe/Berlin, received {features.time_zone!r}"


def _is_time_zone(name: str) -> bool:
    if name == "UTC":  # known even where no database of time zones is installed
        return True
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
