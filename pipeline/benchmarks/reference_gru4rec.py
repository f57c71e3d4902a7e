"""Trains the official PyTorch GRU4Rec on our training sessions and judges it on our validation sessions.

A script for a Python that has torch and pandas, and knows nothing of nextclick. It takes the path of data.json, whose
folder holds sessions.npz (train_data.py), and JSON settings: `folder` of the reference, `parameters` file, `layers`,
`threads`, `epochs` (0: those of the parameters). It writes JSON to standard output.

The protocol is ours: every prefix of a session is a prediction, the candidates are the whole vocabulary, ties count
against the model, a target outside the vocabulary is a miss. The network cannot read an unknown item, so it is passed
over; before the first known item the popular items are recommended.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_CUTOFF = 20
_SESSIONS_A_BATCH = 256
# What the reference prints after each epoch: "Epoch1 --> loss: … (12.34s) …".
_EPOCH_LINE = re.compile(r"^Epoch\d+ .*\((\d+\.\d+)s\)")


class _Tee(io.TextIOBase):
    """Shows what is printed on standard error; keeps each epoch's seconds, and the processor time at its end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu_times: list[float] = []

    def write(self, text: str) -> int:
        found = _EPOCH_LINE.match(text)
        if found:
            self.seconds.append(float(found.group(1)))
            self.cpu_times.append(time.process_time())
        sys.stderr.write(text)
        sys.stderr.flush()
        return len(text)


def main() -> int:
    """Trains, judges, prints."""
    data, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    sessions = np.load(data.with_name("sessions.npz"))
    sys.path.insert(0, settings["folder"])
    import torch

    torch.set_num_threads(settings["threads"])
    torch.manual_seed(42)
    shown = _Tee()
    with contextlib.redirect_stdout(shown):
        model = importlib.import_module("gru4rec_pytorch").GRU4Rec(device=torch.device("cpu"))
        model.set_params(**_parameters(settings))
        started, cpu = time.perf_counter(), time.process_time()
        model.fit(_clicks(sessions))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    events = int((sessions["train_lengths"] - 1).sum())
    steady = shown.seconds[1:] or shown.seconds
    steady_cpu = shown.cpu_times[-1] - shown.cpu_times[0] if len(shown.seconds) > 1 else cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    recall, mrr = _judge(model, sessions)
    figures = {
        "events_per_second": events * len(steady) / sum(steady),
        "events_per_cpu_second": events * len(steady) / steady_cpu,
        "epochs": len(shown.seconds),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "negatives": int(model.n_sample),
        "batch_size": int(model.batch_size),
        "layers": ", ".join(str(units) for units in model.layers),
        "recall@20": recall,
        "mrr@20": mrr,
        "torch": torch.__version__,
        "peak_memory_bytes": peak,
    }
    print(json.dumps(figures))
    return 0


def _parameters(settings: dict[str, Any]) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("parameters", settings["parameters"])
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    changed = {"layers": settings["layers"], **({"n_epochs": settings["epochs"]} if settings["epochs"] else {})}
    return {**module.gru4rec_params, **changed}


def _clicks(sessions: Any) -> Any:
    """The training sessions as the table that the reference reads, without unknown items."""
    import pandas

    numbers = np.repeat(np.arange(len(sessions["train_lengths"]), dtype=np.int32), sessions["train_lengths"])
    known = sessions["train_items"] >= 0
    columns = {"SessionId": numbers, "ItemId": sessions["train_items"], "Time": sessions["train_times"]}
    return pandas.DataFrame({name: values[known] for name, values in columns.items()})


def _judge(model: Any, sessions: Any) -> tuple[float, float]:
    """Recall@20 and MRR@20 over every prefix of the validation sessions."""
    lengths = sessions["validation_lengths"]
    stops = np.cumsum(lengths)
    rows = [sessions["validation_items"][stop - length : stop] for stop, length in zip(stops, lengths, strict=True)]
    rows.sort(key=len)
    found = np.concatenate(
        [
            _ranks(model, rows[first : first + _SESSIONS_A_BATCH], int(sessions["items"]))
            for first in range(0, len(rows), _SESSIONS_A_BATCH)
        ]
    )
    hits = found <= _CUTOFF
    return float(hits.mean()), float((hits / found).mean())


def _ranks(model: Any, rows: list[npt.NDArray[np.int32]], items: int) -> npt.NDArray[np.float64]:
    """Rank of each next item of these sessions; infinite where it is unknown."""
    import torch

    network, place_of = model.model.eval(), model.data_iterator.itemidmap
    theirs = torch.as_tensor(place_of.reindex(range(items)).to_numpy(np.int64))  # our place → theirs
    states = [torch.zeros(len(rows), units) for units in model.layers]
    popular = -torch.arange(items, dtype=torch.float32)  # our places are in the order of popularity
    scores = popular.repeat(len(rows), 1)
    found = []
    with torch.no_grad():
        for time_step in range(max(map(len, rows)) - 1):
            here = [row for row in range(len(rows)) if len(rows[row]) > time_step + 1]
            seen = [row for row in here if rows[row][time_step] >= 0]
            if seen:
                given = theirs[[int(rows[row][time_step]) for row in seen]]
                held = [state[seen] for state in states]
                scores[seen] = network(given, held, None, training=False)[:, theirs]
                for state, new in zip(states, held, strict=True):
                    state[seen] = new
            targets = torch.tensor([int(rows[row][time_step + 1]) for row in here])
            of_targets = scores[here, targets.clamp(min=0)][:, None]
            ranks = (scores[here] >= of_targets).sum(1).double()
            found.append(torch.where(targets < 0, torch.inf, ranks).numpy())
    return np.concatenate(found) if found else np.zeros(0)


if __name__ == "__main__":
    sys.exit(main())
