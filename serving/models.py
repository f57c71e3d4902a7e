"""The models in memory: what is on disk is loaded and warmed up, and only then switched to.

Lives in the event loop: every method is called there, and all that takes long (reading folders, loading, unloading)
runs in a pool of one thread beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nextclick.pipeline.errors import ServingError
from nextclick.serving import model_config, states
from nextclick.serving.failures import invalid
from nextclick.serving.metrics import Metrics
from nextclick.serving.servable import Servable
from nextclick.serving.states import STATES, Fingerprint, Model, Version

log = logging.getLogger(__name__)


class Models:
    """Every model of a ModelServerConfig."""

    def __init__(self, config: Any, metrics: Metrics, *, threads: int = 0) -> None:
        self._models = states.models_of(config)
        self._changing = asyncio.Lock()
        self._metrics = metrics
        self._threads = threads
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="load")

    def names(self) -> dict[str, int | None]:
        """Each model with its newest version that answers."""
        return {name: max(model.available(), default=None) for name, model in self._models.items()}

    def overview(self) -> dict[str, dict[str, Any]]:
        """Of each model the newest version that answers, and the labels in force."""
        names = self.names()
        return {name: {"version": names[name], "labels": model.labels} for name, model in self._models.items()}

    def reasons(self) -> list[str]:
        """Why versions could not be loaded."""
        return [
            version.reason for model in self._models.values() for version in model.versions.values() if version.reason
        ]

    async def poll(self) -> None:
        """Looks at the folders once, and loads and unloads what changed."""
        async with self._changing:
            for name, model in list(self._models.items()):
                await self._reconcile(name, model)

    async def reconfigure(self, config: Any) -> None:
        """Serves another ModelServerConfig: models it leaves out are unloaded, versions it wants are loaded first.

        Raises RequestFailure, and changes nothing, where TensorFlow Serving would refuse the configuration: it is
        malformed, or it moves a label that is in use to a version that does not answer yet (TRAPS 108).
        """
        problem = model_config.problem_of(config)
        if problem:
            raise invalid(problem)
        async with self._changing:
            wanted = states.models_of(config)
            for name, model in wanted.items():
                current = self._models.get(name)
                if current is not None and current.config.base_path == model.config.base_path:
                    model.versions = current.versions
                    states.check_labels(name, current.labels, model)
            kept = [id(model.versions) for model in wanted.values()]
            left_out = [model for model in self._models.values() if id(model.versions) not in kept]
            self._models = wanted
            for model in left_out:
                for version in model.versions.values():
                    self._retire(version)
            for name, model in wanted.items():
                await self._reconcile(name, model)

    @contextlib.contextmanager
    def lease(self, spec: Any) -> Iterator[Servable]:
        """The version that a ModelSpec asks for, kept loaded within. Raises RequestFailure where there is none."""
        version = states.resolve(self._models.get(spec.name), spec)
        assert version.servable is not None
        version.leases += 1
        try:
            yield version.servable
        finally:
            version.leases -= 1
            self._unload_if_idle(version)

    def status(self, spec: Any) -> Any:
        """GetModelStatusResponse for a ModelSpec. Raises RequestFailure on an unknown model or version."""
        return states.status_response(self._models.get(spec.name), spec)

    async def close(self) -> None:
        """Unloads everything."""
        for model in self._models.values():
            for version in model.versions.values():
                self._retire(version)
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)

    async def _reconcile(self, name: str, model: Model) -> None:
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

    async def _forgive(self, model: Model, on_disk: dict[int, Path]) -> None:
        """Gives refused versions another try whose files changed, and forgets ended ones that are gone."""
        for number, version in list(model.versions.items()):
            if version.state != STATES.END:
                continue
            gone = number not in on_disk
            if gone or (version.reason and version.fingerprint != await self._aside(_fingerprint, on_disk[number])):
                del model.versions[number]

    async def _load(self, name: str, model: Model, number: int, path: Path) -> None:
        version = model.versions[number] = Version(STATES.LOADING)
        fingerprint = await self._aside(_fingerprint, path)
        try:
            version.servable = await self._aside(_load_and_warm_up, name, number, path, self._threads)
            version.state = STATES.AVAILABLE
            self._metrics.loads.add(model_path=str(path), status="success")
        except ServingError as error:
            version.state, version.reason, version.fingerprint = STATES.END, str(error), fingerprint
            self._metrics.loads.add(model_path=str(path), status="fail")
            log.error("refused version %d of model %s: %s", number, name, error)

    def _retire(self, version: Version) -> None:
        if version.state == STATES.AVAILABLE:
            version.state = STATES.UNLOADING
            self._unload_if_idle(version)

    def _unload_if_idle(self, version: Version) -> None:
        if version.state == STATES.UNLOADING and version.leases == 0 and version.servable is not None:
            self._pool.submit(version.servable.close)
            version.servable, version.state = None, STATES.END

    async def _aside(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


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
