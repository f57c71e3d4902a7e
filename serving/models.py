"""The models in memory: what is on disk is loaded and warmed up, and only then switched to.

Lives in the event loop: every method is called there, and all that takes long (reading folders, loading, unloading)
runs in a pool of one thread beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nextclick.pipeline.errors import ServingError
from nextclick.serving import model_config, protos
from nextclick.serving.failures import invalid, not_found
from nextclick.serving.servable import Servable

log = logging.getLogger(__name__)
_STATES = protos.get_model_status_pb2.ModelVersionStatus
_UNKNOWN = 2  # canonical error code of a version that could not be loaded

Fingerprint = tuple[tuple[str, int, int], ...]


@dataclasses.dataclass
class _Version:
    """One version of a model, from its discovery to its end."""

    state: int
    reason: str = ""  # why it could not be loaded
    fingerprint: Fingerprint = ()  # of the files that could not be loaded
    servable: Servable | None = None
    leases: int = 0


@dataclasses.dataclass
class _Model:
    """A ModelConfig and what became of its versions."""

    config: Any
    versions: dict[int, _Version] = dataclasses.field(default_factory=dict)

    def available(self) -> list[int]:
        return [number for number, version in self.versions.items() if version.state == _STATES.AVAILABLE]


class Models:
    """Every model of a ModelServerConfig."""

    def __init__(self, config: Any, *, threads: int = 0) -> None:
        self._models = {entry.name: _Model(entry) for entry in config.model_config_list.config}
        self._threads = threads
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="load")

    def names(self) -> dict[str, int | None]:
        """Each model with its newest version that answers."""
        return {name: max(model.available(), default=None) for name, model in self._models.items()}

    def reasons(self) -> list[str]:
        """Why versions could not be loaded."""
        return [
            version.reason for model in self._models.values() for version in model.versions.values() if version.reason
        ]

    async def poll(self) -> None:
        """Looks at the folders once, and loads and unloads what changed."""
        for name, model in list(self._models.items()):
            await self._reconcile(name, model)

    async def watch(self, poll_seconds: float) -> None:
        """Polls for ever."""
        while True:
            await asyncio.sleep(poll_seconds)
            try:
                await self.poll()
            except Exception:
                log.exception("looking for new versions failed; the loaded ones go on serving")

    @contextlib.contextmanager
    def lease(self, spec: Any) -> Iterator[Servable]:
        """The version that a ModelSpec asks for, kept loaded within. Raises RequestFailure where there is none."""
        version = self._resolve(spec)
        assert version.servable is not None
        version.leases += 1
        try:
            yield version.servable
        finally:
            version.leases -= 1
            self._unload_if_idle(version)

    def status(self, spec: Any) -> Any:
        """GetModelStatusResponse for a ModelSpec. Raises RequestFailure on an unknown model or version."""
        model = self._models.get(spec.name)
        versions = dict(sorted(model.versions.items(), reverse=True)) if model else {}
        if not versions:
            raise not_found(f"Could not find any versions of model {spec.name}")
        if spec.HasField("version"):
            if spec.version.value not in versions:
                raise not_found(f"Could not find version {spec.version.value} of model {spec.name}")
            versions = {spec.version.value: versions[spec.version.value]}
        response = protos.get_model_status_pb2.GetModelStatusResponse()
        for number, version in versions.items():
            entry = response.model_version_status.add(version=number, state=version.state)
            if version.reason:
                entry.status.error_code = _UNKNOWN
            entry.status.error_message = version.reason
        return response

    async def close(self) -> None:
        """Unloads everything."""
        for model in self._models.values():
            for version in model.versions.values():
                self._retire(version)
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)

    def _resolve(self, spec: Any) -> _Version:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        model = self._models.get(spec.name)
        number = _asked_version(model, spec)
        if model is None or not model.available():
            raise not_found(f"Servable not found for request: Latest({spec.name})")
        if number is None:
            number = max(model.available())
        version = model.versions.get(number)
        if version is None or version.state != _STATES.AVAILABLE:
            raise not_found(f"Servable not found for request: Specific({spec.name}, {number})")
        return version

    async def _reconcile(self, name: str, model: _Model) -> None:
        on_disk = await self._aside(model_config.versions_on_disk, Path(model.config.base_path))
        await self._forgive(model, on_disk)
        while True:
            refused = [number for number, version in model.versions.items() if version.reason]
            wanted = model_config.aspired(model.config, on_disk, refused)
            missing = [number for number in wanted if number not in model.available()]
            if not missing:
                break
            await self._load(name, model, missing[0], on_disk[missing[0]])
        # An emptied folder is more likely a mishap than a wish to serve nothing.
        for number in model.available() if wanted else []:
            if number not in wanted:
                log.info("unloading version %d of model %s", number, name)
                self._retire(model.versions[number])

    async def _forgive(self, model: _Model, on_disk: dict[int, Path]) -> None:
        """Gives refused versions another try whose files changed, and forgets ended ones that are gone."""
        for number, version in list(model.versions.items()):
            if version.state != _STATES.END:
                continue
            gone = number not in on_disk
            if gone or (version.reason and version.fingerprint != await self._aside(_fingerprint, on_disk[number])):
                del model.versions[number]

    async def _load(self, name: str, model: _Model, number: int, path: Path) -> None:
        version = model.versions[number] = _Version(_STATES.LOADING)
        fingerprint = await self._aside(_fingerprint, path)
        try:
            version.servable = await self._aside(_load_and_warm_up, name, number, path, self._threads)
            version.state = _STATES.AVAILABLE
        except ServingError as error:
            version.state, version.reason, version.fingerprint = _STATES.END, str(error), fingerprint
            log.error("refused version %d of model %s: %s", number, name, error)

    def _retire(self, version: _Version) -> None:
        if version.state == _STATES.AVAILABLE:
            version.state = _STATES.UNLOADING
            self._unload_if_idle(version)

    def _unload_if_idle(self, version: _Version) -> None:
        if version.state == _STATES.UNLOADING and version.leases == 0 and version.servable is not None:
            self._pool.submit(version.servable.close)
            version.servable, version.state = None, _STATES.END

    async def _aside(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


def _asked_version(model: _Model | None, spec: Any) -> int | None:
    choice = spec.WhichOneof("version_choice")
    if choice == "version":
        return int(spec.version.value)
    if choice == "version_label":
        if model is None or spec.version_label not in model.config.version_labels:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return int(model.config.version_labels[spec.version_label])
    return None


def _load_and_warm_up(name: str, number: int, path: Path, threads: int) -> Servable:
    servable = Servable(name, number, path, threads=threads)
    try:
        records = servable.warm_up()
    except Exception as error:
        servable.close()
        raise (
            error if isinstance(error, ServingError) else ServingError(f"warming up {path} failed: {error}")
        ) from error
    log.info("loaded version %d of model %s after %d warm-up requests", number, name, records)
    return servable


def _fingerprint(folder: Path) -> Fingerprint:
    """Name, size and time of every file, so that a version that was repaired in place is noticed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
