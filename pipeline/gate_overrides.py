"""Gate settings by which a model passes more easily than by default: recorded in ML Metadata, red in the report."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

_SECTION = "gate."


def overrides(config: Config) -> list[str]:
    """Each looser setting of the gate as a text: "gate.max_drift=0.9 instead of 0.3"."""
    return [
        f"{key}={_text(configuration.get(config, key))} instead of {_text(entry.default)}"
        for key, entry in configuration.settings().items()
        if key.startswith(_SECTION) and _looser(key[len(_SECTION) :], configuration.get(config, key), entry.default)
    ]


def _looser(name: str, value: Any, default: Any) -> bool:
    """A lower least value, a greater greatest one, a check switched off, a baseline left out."""
    if isinstance(default, bool):
        return bool(default and not value)
    if isinstance(default, tuple):
        return not set(default) <= set(value)
    return bool(value < default if name.startswith("min_") else value > default)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) or "none" if isinstance(value, tuple) else f"{value:g}"
