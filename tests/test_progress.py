"""Without this, a new version of TFX could reword its log, and a run would be silent or hide what was cached."""

import inspect
import io
import logging

from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import launcher

from nextclick.pipeline import progress


def test_messages_are_tfx_s():
    runner, launch = inspect.getsource(local_dag_runner), inspect.getsource(launcher)
    assert progress._STARTS in runner and progress._ENDS in runner
    assert progress._CACHED in launch


def test_cached_component_is_told_from_one_that_ran():
    stream = io.StringIO()
    handler = progress.ComponentProgress(stream)

    def log(message, *arguments):
        handler.emit(logging.LogRecord("absl", logging.INFO, "", 0, message, arguments, None))

    log("Component %s is running.", "Transform")
    log("A cached execution %d is used.", 7)
    log("Component %s is finished.", "Transform")
    log("Component %s is running.", "Trainer")
    log("Component %s is finished.", "Trainer")
    cached, ran = stream.getvalue().splitlines()
    assert cached.split() == ["Transform", "from", "the", "cache"]
    assert ran.split()[0] == "Trainer" and ran.endswith(" s")
