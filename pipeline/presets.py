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
        "training.epochs": 12,
        "training.batch_size": 512,
        "training.learning_rate": 0.004,
    },
)

# Quality first: the mean of four networks, each over more negatives, with attention and averaged weights.
ACCURATE = config.replace(
    DEFAULT,
    {
        "model.attention": "last_state",
        "training.epochs": 40,
        "training.average_epochs": 3,
        "training.negatives": 4096,
        "training.members": 4,
    },
)

# One GPU: steps large enough to keep it busy, at a rate raised by the square root of their size.
GPU = config.replace(
    ACCURATE,
    {
        "training.batch_size": 4096,
        "training.learning_rate": 0.005,
        "training.negatives": 8192,
    },
)

PRESETS: dict[str, Config] = {"quick": QUICK, "default": DEFAULT, "accurate": ACCURATE, "gpu": GPU}
