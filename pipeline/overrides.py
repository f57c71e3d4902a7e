"""From a preset, a TOML file and `--set section.key=value` to one configuration, and back to TOML.

A key that does not exist or a value of the wrong type is a ConfigError that names the nearest right key or the
expected type; nothing is guessed.
"""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nextclick.pipeline import config, presets
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError
from nextclick.pipeline.setting import Setting

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def load(source: str | None, assignments: Iterable[str] = ()) -> Config:
    """The effective configuration.

    Args:
        source: a preset's name, a path to a TOML file (its key `preset` names the preset it starts from), or None.
        assignments: texts "section.key=value", applied last, in order.

    Raises:
        ConfigError: unknown preset, unreadable file, unknown key, wrong type or value.
    """
    base, values = _read_source(source)
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(f"--set takes section.key=value, received {assignment!r}")
        entry = _setting(key.strip())
        values[entry.key] = _parse(entry, text.strip())
    return config.replace(base, values)


def with_paths(effective: Config, paths: Iterable[str]) -> Config:
    """A copy that reads these click logs; a list of its own, since a path may hold a comma."""
    return config.replace(effective, {"data.paths": tuple(paths)})


def to_toml(effective: Config) -> str:
    """The whole configuration as TOML, a comment a key; `load` reads it back to an equal one."""
    lines: list[str] = []
    section = ""
    for entry in config.settings().values():
        prefix, _, name = entry.key.rpartition(".")
        if prefix != section:
            section = prefix
            lines += ["", f"[{section}]"]
        lines.append(f"# {describe(entry)}")
        lines.append(f"{name} = {_toml_value(config.get(effective, entry.key))}")
    return "\n".join(lines).strip() + "\n"


def describe(entry: Setting) -> str:
    """Meaning, bounds and default of a key in one line."""
    parts = [entry.meaning] if entry.meaning else []
    if entry.choices:
        parts.append("one of " + ", ".join(entry.choices))
    if entry.minimum is not None and entry.maximum is not None:
        parts.append(f"{entry.minimum:g} to {entry.maximum:g}")
    elif entry.minimum is not None:
        parts.append(f"at least {entry.minimum:g}")
    parts.append(f"default {_toml_value(entry.default)}")
    return "; ".join(parts)


def _read_source(source: str | None) -> tuple[Config, dict[str, Any]]:
    if source is None:
        return presets.DEFAULT, {}
    if source in presets.PRESETS:
        return presets.PRESETS[source], {}
    if not source.endswith(".toml"):
        hint = _nearest(source, presets.PRESETS)
        raise ConfigError(
            f"--config takes a preset ({', '.join(presets.PRESETS)}) or a .toml file, received {source!r}{hint}"
        )
    tables = _read_toml(Path(source))
    preset = tables.pop("preset", "default")
    if preset not in presets.PRESETS:
        raise ConfigError(f"{source}: preset must be one of {', '.join(presets.PRESETS)}, received {preset!r}")
    return presets.PRESETS[preset], _flatten(tables)


def _read_toml(path: Path) -> dict[str, Any]:
    toml = _toml_parser()
    try:
        tables: dict[str, Any] = toml.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"the configuration file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, toml.TOMLDecodeError) as error:
        raise ConfigError(f"the configuration file {path} cannot be read as TOML: {error}") from None
    return tables


def _toml_parser() -> Any:
    """`tomllib` from Python 3.11 on, else `tomli`, which has the same interface."""
    try:
        return importlib.import_module("tomllib")
    except ModuleNotFoundError:
        return importlib.import_module("tomli")


def _flatten(tables: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, value in tables.items():
        entries = {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {name: value}
        for key, entry in entries.items():
            values[_setting(key).key] = tuple(entry) if isinstance(entry, list) else entry
    return values


def _setting(key: str) -> Setting:
    known = config.settings()
    if key not in known:
        raise ConfigError(f"there is no setting {key!r}{_nearest(key, known)}")
    return known[key]


def _nearest(word: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]}?" if matches else "; nextclick run --show-config lists all"


def _parse(entry: Setting, text: str) -> Any:
    """The value of a setting from the text of `--set`; lists are separated by commas."""
    if entry.type is str:
        return text
    if entry.type is tuple:
        return tuple(
            _number(part) if entry.entry is float else part for part in map(str.strip, text.split(",")) if part
        )
    if entry.type is bool and text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    if entry.type is float:
        return _number(text)
    try:
        return int(text) if entry.type is int else text
    except ValueError:
        return text  # config.replace says what was expected


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # config.replace says what was expected


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml_value(entry) for entry in value) + "]"
    return repr(value)
