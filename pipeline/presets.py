"""The presets: each is the default configuration with what it states differently, and why."""

from __future__ import annotations

from nextclick.pipeline import config
from nextclick.pipeline.config import Config

DEFAULT = Config()

# The demo: the bundled sample on two cores in under four minutes.
QUICK = config.replace(
    DEFAULT,
    {
        "model.embedding_size": 64,
        "model.hidden_units": 64,
        "model.dropout": 0.2,
        "training.batch_size": 512,
        "training.epochs": 12,
    },
)

# Quality first: a wider network and more patience.
ACCURATE = config.replace(
    DEFAULT,
    {
        "model.embedding_size": 192,
        "model.hidden_units": 192,
        "training.epochs": 40,
        "training.patience": 4,
    },
)

# One GPU: steps large enough to keep it busy.
GPU = config.replace(
    ACCURATE,
    {
        "training.batch_size": 4096,
        "training.negatives": 8192,
    },
)

PRESETS: dict[str, Config] = {"quick": QUICK, "default": DEFAULT, "accurate": ACCURATE, "gpu": GPU}
