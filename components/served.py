"""The models under a serving folder, as TF Serving sees them: numbered versions, the greatest one is served.

Works on every file system that TensorFlow knows (local paths, gs://, ...).
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

SAVED_MODEL_FILE = "saved_model.pb"

# What a model computes. fingerprint.pb holds a random id, assets.extra only what warms a server up.
_CONTENT = (SAVED_MODEL_FILE, "variables", "assets")


def version_numbers(serving_base_path: str) -> list[int]:
    """All version numbers in use under a serving folder, ascending; broken versions count too."""
    if not tf.io.gfile.isdir(serving_base_path):
        return []
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(serving_base_path)]
    return sorted(int(name) for name in names if name.isdecimal())


def version_path(serving_base_path: str, version: int | str) -> str:
    """Folder of a version."""
    return posixpath.join(serving_base_path, str(version))


def newest_version(serving_base_path: str) -> str:
    """The version that is served: the greatest one that holds a model; "" where nothing is served."""
    for version in reversed(version_numbers(serving_base_path)):
        if is_saved_model(version_path(serving_base_path, version)):
            return str(version)
    return ""


def is_saved_model(path: str) -> bool:
    """Whether a folder holds a SavedModel."""
    return bool(tf.io.gfile.exists(posixpath.join(path, SAVED_MODEL_FILE)))


def state(serving_base_path: str) -> str:
    """One text that changes when another model is served: "<version>:<fingerprint>", "" where nothing is."""
    version = newest_version(serving_base_path)
    return f"{version}:{fingerprint(version_path(serving_base_path, version))}" if version else ""


def fingerprint(model_path: str) -> str:
    """Hex digest of what a SavedModel computes: its graph, variables and assets."""
    digest = hashlib.sha256()
    for name in files(model_path):
        if name.split("/")[0] in _CONTENT:
            with tf.io.gfile.GFile(posixpath.join(model_path, name), "rb") as handle:
                content = hashlib.sha256()
                while block := handle.read(1 << 20):
                    content.update(block)
            digest.update(f"{name}\0{content.hexdigest()}\n".encode())
    return digest.hexdigest()


def files(folder: str) -> list[str]:
    """Paths of all files under a folder, relative to it, with "/" between names, sorted."""
    return sorted(_walk(folder, ""))


def _walk(folder: str, prefix: str) -> Iterator[str]:
    for entry in tf.io.gfile.listdir(folder):
        name = entry.rstrip("/")
        path = posixpath.join(folder, name)
        if tf.io.gfile.isdir(path):
            yield from _walk(path, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}"


def copy_files(source: str, target: str, names: list[str]) -> None:
    """Copies files, named relative to the source folder, in the given order."""
    for name in names:
        tf.io.gfile.makedirs(posixpath.dirname(posixpath.join(target, name)))
        tf.io.gfile.copy(posixpath.join(source, name), posixpath.join(target, name), overwrite=True)


def copy_newest(serving_base_path: str, target: str) -> str:
    """Copies the served model into a folder and returns its version; "" and no folder where nothing is served."""
    version = newest_version(serving_base_path)
    if version:
        source = version_path(serving_base_path, version)
        copy_files(source, target, files(source))
    return version


def signatures(model_path: str) -> set[str]:
    """Names of a SavedModel's signatures, read without loading it."""
    model = saved_model_pb2.SavedModel()
    with tf.io.gfile.GFile(posixpath.join(model_path, SAVED_MODEL_FILE), "rb") as handle:
        model.ParseFromString(handle.read())
    return {name for graph in model.meta_graphs for name in graph.signature_def if not name.startswith("__")}
