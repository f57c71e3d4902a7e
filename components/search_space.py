"""What `nextclick tune` searches: entries of `tuning.space` as ranges and choices of settings."""

from __future__ import annotations

import dataclasses
from typing import Any

from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError
from nextclick.pipeline.setting import Setting

_SECTIONS = ("model", "training")
_FORMS = "section.key=LOW..HIGH, section.key=LOW..HIGH:log or section.key=A/B/C"


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One setting that is searched: either `choices`, or numbers from `low` to `high`, both included.

    Attributes:
      key: of a setting of the sections model and training.
      choices: values to choose from; empty: a range.
      low, high: of the setting's type.
      log: draw uniformly in the logarithm.
      whole: numbers of the range are whole.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    whole: bool = False


def parse(config: Config) -> list[Dimension]:
    """The dimensions of `tuning.space`. Raises ConfigError that names the wrong entry."""
    if not config.training.epochs or not config.training.max_steps:
        raise ConfigError("there is nothing to tune without a step of training: raise training.epochs or max_steps")
    found = [_dimension(entry) for entry in config.tuning.space]
    keys = [dimension.key for dimension in found]
    if "model.side_features" in keys and config.model.side_features == "off":
        raise ConfigError("tuning.space searches model.side_features: set it to add or concat, for trials to have them")
    if not found or len(set(keys)) < len(keys):
        raise ConfigError(f"tuning.space must name at least one setting, each once, received {keys}")
    return found


def _dimension(text: str) -> Dimension:
    key, _, values = text.partition("=")
    entry = configuration.settings().get(key.strip())
    if entry is None or key.strip().partition(".")[0] not in _SECTIONS:
        raise ConfigError(f"tuning.space takes settings of {' and '.join(_SECTIONS)}, received {text!r}")
    if ".." not in values:
        choices = tuple(_value(entry, choice, text) for choice in values.split("/"))
        return Dimension(entry.key, choices=choices)
    limits, _, scale = values.partition(":")
    low, high = (_value(entry, limit, text) for limit in limits.split("..", 1))
    if entry.type not in (int, float) or scale not in ("", "log") or not low < high or (scale and low <= 0):
        raise ConfigError(
            f"a range of tuning.space is {_FORMS}, with LOW below HIGH and, for log, above 0, received {text!r}"
        )
    return Dimension(entry.key, low=low, high=high, log=scale == "log", whole=entry.type is int)


def _value(entry: Setting, text: str, whole: str) -> Any:
    """A text as a value of a setting, within its bounds."""
    text = text.strip()
    try:
        value = {"true": True, "false": False}[text] if entry.type is bool else entry.type(text)
    except (KeyError, ValueError):
        raise ConfigError(f"tuning.space takes {_FORMS}, received {whole!r}") from None
    problem = entry.problem(value)
    if problem:
        raise ConfigError(f"tuning.space: {problem}")
    return value
