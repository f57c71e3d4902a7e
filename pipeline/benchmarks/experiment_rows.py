"""The questions of docs/experiments.md: each is the base with some settings changed, and one row of its table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: what is asked, and the settings that answer it."""

    question: str
    settings: Mapping[str, Any]


# The network alone, so that what an option does to it is not hidden by the session kNN beside it.
BASE = Row("base: default without the session kNN", {"hybrid.kind": "off"})

ROWS = (
    BASE,
    Row("default (with the session kNN)", {"hybrid.kind": "session_knn"}),
    Row("attention", {"model.attention": "last_state"}),
    Row("bi-directional", {"model.bidirectional": True}),
    Row("stateful: session-parallel batches", {"training.stateful": True}),
    Row("no refit: the newest day only chooses", {"data.refit": False}),
    Row("sessions of one item dropped", {"data.drop_single_item_sessions": True}),
    Row("sessions of three clicks at least", {"data.min_session_length": 3}),
    Row("items of five clicks at least", {"features.min_item_support": 5}),
    Row("half the items by hash", {"features.max_items": 1400, "features.oov_buckets": 500}),
    Row("window length 5", {"features.window_length": 5}),
    Row("window length 10", {"features.window_length": 10}),
    Row("look-back 3", {"features.lookback": 3}),
    Row("look-back 10", {"features.lookback": 10}),
    Row("three folds choose the epochs", {"training.folds": 3}),
    Row("mean of four members", {"training.members": 4}),
    Row("mean of the weights after three epochs", {"training.average_epochs": 3}),
    Row("embedding size 64", {"model.embedding_size": 64}),
    Row("embedding size 256", {"model.embedding_size": 256}),
    Row("hidden units 64", {"model.hidden_units": 64}),
    Row("hidden units 256", {"model.hidden_units": 256}),
    Row(
        "time since the click before, put beside the item",
        {"features.side_features": ("since_previous",), "model.side_features": "concat"},
    ),
    Row("two GRU layers", {"model.layers": 2}),
    Row("embeddings not tied", {"model.tied_embeddings": False}),
    Row("vectors not normalised", {"model.normalize": False}),
    Row("output bias", {"model.output_bias": True}),
    Row("learning rate 0.001", {"training.learning_rate": 0.001}),
    Row("learning rate 0.004", {"training.learning_rate": 0.004}),
    Row("batch size 128", {"training.batch_size": 128}),
    Row("batch size 2048", {"training.batch_size": 2048}),
    Row("no dropout", {"model.dropout": 0.0}),
    Row("dropout 0.5", {"model.dropout": 0.5}),
    Row("recurrent dropout 0.2", {"model.recurrent_dropout": 0.2}),
    Row("Nadam", {"training.optimizer": "nadam"}),
    Row("AdamW", {"training.optimizer": "adamw"}),
    Row("Adagrad at 0.1", {"training.optimizer": "adagrad", "training.learning_rate": 0.1}),
    Row(
        "SGD at 0.5, momentum 0.9",
        {"training.optimizer": "sgd", "training.learning_rate": 0.5, "training.momentum": 0.9},
    ),
    Row("cosine schedule", {"training.schedule": "cosine"}),
    Row("no clipping", {"training.clip_norm": 0.0}),
    Row("clipped by value at 0.01", {"training.clip_value": 0.01, "training.clip_norm": 0.0}),
    Row("sampled softmax", {"training.loss": "sampled_softmax"}),
    Row("BPR-max", {"training.loss": "bpr_max"}),
    Row("TOP1-max", {"training.loss": "top1_max"}),
    Row("label smoothing 0.1", {"training.label_smoothing": 0.1}),
    Row("two outputs a step", {"training.horizon": 2}),
    Row("three outputs a step", {"training.horizon": 3}),
    Row(
        "three outputs a step, the further ones at a tenth",
        {"training.horizon": 3, "training.horizon_weights": (1.0, 0.1, 0.1)},
    ),
    Row("bfloat16", {"training.precision": "bfloat16"}),
    Row("rare targets weigh more", {"training.rare_target_power": 0.25}),
    Row("float16 weights", {"serving.weights": "float16"}),
    Row("int8 weights", {"serving.weights": "int8"}),
)
