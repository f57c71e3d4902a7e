"""Which models and versions are served: TensorFlow Serving's ModelServerConfig, from a folder or from its file.

All three servers get their models this way, so that a file written for one serves the others.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from nextclick.pipeline.errors import ConfigError
from nextclick.serving import protos

PLATFORM = "tensorflow"
SAVED_MODEL_FILE = "saved_model.pb"
CONFIG_FILE = "models.config"


def of_root(root: Path) -> Any:
    """ModelServerConfig of every model under `<root>/serving`; the folder's own models.config wins where it is there.

    Raises ConfigError where nothing has been pushed yet.
    """
    folder = root / "serving"
    if (folder / CONFIG_FILE).is_file():
        return of_file(folder / CONFIG_FILE)
    bases = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    config = protos.model_server_config_pb2.ModelServerConfig()
    for base in bases:
        if versions_on_disk(base):
            _add(config, base.name, base)
    if not config.model_config_list.config:
        raise ConfigError(f"no model has been pushed under {folder}: run nextclick run --root {root} first")
    return config


def of_folder(folder: Path) -> Any:
    """ModelServerConfig of one model: a folder of numbered versions, or one of these, which alone is served then.

    Raises ConfigError where the folder is neither.
    """
    folder = folder.resolve()
    config = protos.model_server_config_pb2.ModelServerConfig()
    if versions_on_disk(folder):
        _add(config, folder.name, folder)
    elif (folder / SAVED_MODEL_FILE).is_file() and _is_version(folder.name, True):
        entry = _add(config, folder.parent.name, folder.parent)
        entry.model_version_policy.specific.versions.append(int(folder.name))
    else:
        raise ConfigError(
            f"{folder} is no served model: give a folder such as ROOT/serving/nextclick that holds numbered versions "
            f"with a {SAVED_MODEL_FILE} each, or one of these versions"
        )
    return config


def of_file(path: Path) -> Any:
    """ModelServerConfig of a text file; relative base paths count from the file's folder. Raises ConfigError."""
    try:
        config = text_format.Parse(path.read_text(encoding="utf-8"), protos.model_server_config_pb2.ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigError(f"cannot read the model configuration {path}: {' '.join(str(error).split())}") from error
    for entry in config.model_config_list.config:
        entry.base_path = str((path.parent / entry.base_path).resolve())
    problem = problem_of(config)
    if problem:
        raise ConfigError(f"{path}: {problem}")
    return config


def problem_of(config: Any) -> str | None:
    """What TensorFlow Serving would refuse in a configuration, in words, or None."""
    if config.WhichOneof("config") != "model_config_list":
        return "it must hold a model_config_list"
    names = [entry.name for entry in config.model_config_list.config]
    for entry in config.model_config_list.config:
        if not entry.name or not entry.base_path:
            return "every model needs a name and a base_path"
        if not os.path.isabs(entry.base_path):
            return f"model {entry.name}: the base_path must be absolute, received {entry.base_path}"
        if entry.model_platform != PLATFORM:
            return f'model {entry.name}: the model_platform must be "{PLATFORM}", received "{entry.model_platform}"'
        if names.count(entry.name) > 1:
            return f"model {entry.name} is listed more than once"
    return None


def versions_on_disk(base: Path) -> dict[int, Path]:
    """The numbered folders under a base path, ascending; {} where the base path is not there."""
    try:
        with os.scandir(base) as entries:
            found = {int(entry.name): base / entry.name for entry in entries if _is_version(entry.name, entry.is_dir())}
    except OSError:
        return {}
    return dict(sorted(found.items()))


def aspired(entry: Any, on_disk: Iterable[int], refused: Collection[int]) -> list[int]:
    """Versions that a ModelConfig wants served, newest first; refused ones (they do not load) do not count.

    TensorFlow Serving would count them, and then serves nothing after a restart when the newest version is broken.
    """
    usable = sorted((version for version in on_disk if version not in refused), reverse=True)
    policy = entry.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return usable
    if choice == "specific":
        return [version for version in usable if version in policy.specific.versions]
    return usable[: (policy.latest.num_versions if choice == "latest" else 0) or 1]


def _add(config: Any, name: str, base: Path) -> Any:
    return config.model_config_list.config.add(name=name, base_path=str(base.resolve()), model_platform=PLATFORM)


def _is_version(name: str, is_folder: bool) -> bool:
    """Whether a folder's name is a version: digits that fit an int64."""
    return is_folder and name.isascii() and name.isdigit() and int(name) < 2**63
