"""Without this, replacing versions for minutes under load could lose requests, mix versions or leak memory unseen.

NEXTCLICK_SOAK_SECONDS=120 pushes a version every ten seconds, as a person would try it by hand.
"""

import itertools
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
import tiny_models
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from nextclick.pipeline.errors import ServingError
from nextclick.serving import channel, server
from nextclick.serving.client import Client

SECONDS = float(os.environ.get("NEXTCLICK_SOAK_SECONDS", "6"))
PUSHES = 4 if SECONDS < 60 else int(SECONDS // 10)
MEMORY = 200 * 2**20  # bytes that the server may grow by from the second version on
AVAILABLE, END = 30, 50


def truncated(folder):
    (data,) = (folder / "variables").glob("variables.data*")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])


def without_graph(folder):
    (folder / "saved_model.pb").unlink()


def of_another_signature(folder):
    shutil.rmtree(folder)
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.f.get_concrete_function()})


CORRUPTIONS = [truncated, without_graph, of_another_signature]


class Callers:
    """Ask without a pause until they are told to stop, and keep what went wrong."""

    def __init__(self, address):
        self.wrong, self.versions, self.answers, self.done = [], set(), itertools.count(), threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(address,)) for _ in range(3)]
        for thread in self.threads:
            thread.start()

    def _ask(self, address):
        with Client(address, "tiny", timeout_seconds=20) as client:
            while not self.done.is_set():
                try:
                    answer = client.predict(["a"], k=3)
                except ServingError as error:
                    if not self.done.is_set():
                        self.wrong.append(error)
                    return
                self.versions.add(answer.model_version)
                next(self.answers)
                if (answer.items, answer.scores) != tiny_models.expected(["a"], answer.model_version, 3):
                    self.wrong.append(answer)

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join(timeout=60)


def resident_bytes(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def state(statuses, version):
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "tiny"
    found = statuses.GetModelStatus(asked, timeout=20).model_version_status
    return next(((one.state, one.status.error_message) for one in found if one.version == version), (0, ""))


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
def test_versions_are_pushed_under_load_corrupt_ones_among_them(tmp_path):
    """Every other version is corrupt. (SIGTERM under load: tests/test_server.py.)"""
    base = tmp_path / "tiny"
    base.mkdir()
    tiny_models.save(base / "1")
    process, facts = server.start("--model", str(base), "--server", "local", "--batching", "default")
    callers, corrupt, memory = Callers(facts["grpc"]), {}, []
    try:
        with channel.open_channel(grpc, facts["grpc"], None) as connection:
            statuses = model_service_pb2_grpc.ModelServiceStub(connection)
            for version in range(2, 2 + PUSHES):
                due = time.monotonic() + SECONDS / PUSHES
                push(base, version, corrupt)
                wait_for(lambda: state(statuses, version)[0] == (END if version in corrupt else AVAILABLE))  # noqa: B023
                if version in corrupt:
                    assert f"cannot load version {version}" in state(statuses, version)[1]
                else:
                    wait_for(lambda: version in callers.versions or callers.wrong)  # noqa: B023
                memory.append(resident_bytes(process.pid))
                time.sleep(max(0.0, due - time.monotonic()))
    finally:
        callers.done.set()
        process.send_signal(signal.SIGTERM)
        callers.stop()
        code = process.wait(timeout=60)
    print(f"{next(callers.answers)} answers, versions {sorted(callers.versions)}, refused {corrupt}, MiB", end=" ")
    print([size // 2**20 for size in memory])
    assert callers.wrong == []
    assert code == 0
    assert callers.versions == {version for version in range(1, 2 + PUSHES) if version not in corrupt}
    assert memory[-1] - memory[0] < MEMORY


def push(base, version, corrupt):
    """Good versions and corrupt ones in turn; each appears whole under its name."""
    if version % 2 == 0:
        tiny_models.save(base / str(version), shift=version)
        return
    damage = CORRUPTIONS[len(corrupt) % len(CORRUPTIONS)]
    corrupt[version] = damage.__name__
    damage(tiny_models.save(base / f".aside-{version}", shift=version))
    (base / f".aside-{version}").rename(base / str(version))
