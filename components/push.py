"""Publishes a SavedModel as a new version under the folder that a model server watches.

A server must never see half a model, and must always see the newest one as the greatest version:

    <base>/.incoming-<version>/   written first; the name is no number, so that no server looks at it
    <base>/<version>/             by one rename, when all files are there

Object stores cannot rename a folder; there the files are copied to their place, saved_model.pb last: without that
file a version is not a model. One pusher at a time may write to a serving folder.
"""

from __future__ import annotations

import dataclasses
import posixpath

import tensorflow as tf

from nextclick.components import served

_INCOMING = ".incoming-"


@dataclasses.dataclass(frozen=True)
class Push:
    """What became of a push: `pushed` is false where the served model is the same one already."""

    version: str
    path: str
    pushed: bool


def push(model_path: str, serving_base_path: str, now_seconds: float) -> Push:
    """Publishes a model unless the very same one is served.

    Args:
        model_path: folder of the SavedModel.
        serving_base_path: folder of the versions; made if it is not there.
        now_seconds: Unix time, from which the version is made.
    """
    current = served.newest_version(serving_base_path)
    if current:
        path = served.version_path(serving_base_path, current)
        if served.fingerprint(path) == served.fingerprint(model_path):
            return Push(version=current, path=path, pushed=False)
    version = next_version(serving_base_path, now_seconds)
    target = served.version_path(serving_base_path, version)
    if "://" in serving_base_path:
        served.copy_files(model_path, target, model_file_last(served.files(model_path)))
    else:
        tf.io.gfile.rename(stage(model_path, serving_base_path, version), target)
    return Push(version=str(version), path=target, pushed=True)


def next_version(serving_base_path: str, now_seconds: float) -> int:
    """Whole Unix seconds, but always greater than every version present: clocks go back, pushes share a second."""
    return max([int(now_seconds), *(version + 1 for version in served.version_numbers(serving_base_path))])


def stage(model_path: str, serving_base_path: str, version: int) -> str:
    """Copies a model beside the versions, out of the server's sight, and returns where; removes what a push left."""
    tf.io.gfile.makedirs(serving_base_path)
    for name in tf.io.gfile.listdir(serving_base_path):
        if name.startswith(_INCOMING):
            tf.io.gfile.rmtree(posixpath.join(serving_base_path, name))
    incoming = posixpath.join(serving_base_path, f"{_INCOMING}{version}")
    served.copy_files(model_path, incoming, served.files(model_path))
    return incoming


def model_file_last(names: list[str]) -> list[str]:
    """File names in the order in which they may appear where a server looks."""
    return sorted(names, key=lambda name: name == served.SAVED_MODEL_FILE)
