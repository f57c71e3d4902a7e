"""The configuration: frozen dataclasses, one per section, each setting with its default, bounds and meaning.

This is the one place where a default is written: `--help`, the TOML that `--show-config` prints and the table in
docs/configuration.md are made from it. Standard library only, so that every component may import it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from nextclick.components.contract import SIDE_FEATURES
from nextclick.pipeline import config_checks
from nextclick.pipeline.errors import ConfigError
from nextclick.pipeline.setting import Setting, setting


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which clicks are read, what is dropped, how they are split."""

    paths: tuple[str, ...] = setting((), "click logs: files, folders or globs; empty: the bundled sample")
    test_path: str = setting("", "the test split is exactly this log; empty: the newest days of `paths`")
    format: str = setting(
        "auto",
        "reader of the log; auto looks at the header and the first row",
        choices=(
            "auto", "plain", "users", "sessions", "yoochoose", "rsc15", "diginetica", "retailrocket", "otto", "rees46",
            "ga4", "columns",
        ),
    )  # fmt: skip
    columns: tuple[str, ...] = setting(
        (), "columns of any other log, as field=column: session_id or user_id, item_id, timestamp, perhaps event_type"
    )
    event_types: tuple[str, ...] = setting((), "event types that count as a click; empty: all")
    attributes: tuple[str, ...] = setting(
        (), "further columns that are kept (category, price, device.category, ...); all others are left out"
    )
    consent: str = setting("", "column=value that every click of a session must have; empty: no such column")
    drop_duplicates: bool = setting(False, "drop clicks of a session with the time, item and type of an earlier one")
    session_gap_minutes: float = setting(
        30.0, "pause after which a user's next click begins a new session, in logs without session ids", minimum=0.01
    )
    bot_limit: float = setting(
        0.0, "drop sessions this many times longer or faster than 99 of 100 training sessions; 0: none", minimum=0
    )
    min_session_length: int = setting(2, "events; shorter sessions are dropped", minimum=2)
    max_session_length: int = setting(200, "events; of longer sessions only the first are kept", minimum=2)
    drop_single_item_sessions: bool = setting(False, "drop sessions that consist of one item only, repeated")
    validation_days: float = setting(
        0.0, "length of the validation split; 0: one day, or as many as hold 3 % of the clicks or 20,000", minimum=0
    )
    test_days: float = setting(0.0, "length of the test split without test_path; 0: as validation_days", minimum=0)
    refit: bool = setting(True, "train the final model on train and validation, for the epochs validation chose")
    spans: int = setting(0, "how many of the newest spans ({SPAN} in the path) are read; 0: all", minimum=0)
    last_span: int = setting(-1, "the newest span to read, which must be there; -1: whichever is newest", minimum=-1)
    max_rejected_share: float = setting(0.05, "share of rejected rows that stops the run", minimum=0, maximum=1)
    shards: int = setting(0, "groups that sessions are sharded into for Beam; 0: by input size", minimum=0)


@dataclasses.dataclass(frozen=True)
class FeaturesConfig:
    """How sessions become numbers; computed in Transform, so that serving does the same."""

    window_length: int = setting(50, "inputs of one training window; longer sessions are cut", minimum=1, maximum=1000)
    lookback: int = setting(50, "newest items of a session that a prediction looks at", minimum=1, maximum=1000)
    min_item_support: int = setting(1, "clicks in the training split below which an item is unknown", minimum=1)
    max_items: int = setting(0, "items that are known and recommended at most, the most clicked; 0: all", minimum=0)
    oov_buckets: int = setting(1, "indices that unknown items share (by hash)", minimum=1)
    collapse_repeats: bool = setting(False, "consecutive clicks on one item count once")
    side_features: tuple[str, ...] = setting(
        (),
        f"what else is known of a click: {', '.join(SIDE_FEATURES)}, or attribute_<name> for a name of data.attributes",
    )
    time_zone: str = setting("UTC", "IANA name of the zone of hour_of_day, day_of_week and season, as Europe/Berlin")
    item_hash_buckets: int = setting(1024, "buckets of the side feature item_hash", minimum=2)
    max_categories: int = setting(
        10000, "values of event_type, or of an attribute, that training tells apart; rarer ones are unknown", minimum=1
    )
    price_attribute: str = setting("price", "attribute that holds the price")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network."""

    embedding_size: int = setting(128, "width of an item vector", minimum=1)
    hidden_units: int = setting(128, "width of a GRU layer", minimum=1)
    layers: int = setting(1, "GRU layers", minimum=1, maximum=8)
    dropout: float = setting(
        -1.0,
        "share of embedding and output values dropped in training; -1: 0.35 up to 50,000 training events, falling to "
        "0.2 from 500,000 on",
        minimum=-1,
        maximum=0.95,
    )
    recurrent_dropout: float = setting(
        0.0,
        "share of the state that a sequence's gates do not see in training, the same at all its steps; above 0 a GPU "
        "trains without cuDNN's kernel",
        minimum=0,
        maximum=0.95,
    )
    attention: str = setting(
        "off",
        "last_state: the last state asks all states of the session, by what they hold and how old they are, and the "
        "mean of the answers stands beside it",
        choices=("off", "last_state"),
    )
    bidirectional: bool = setting(
        False, "a second GRU reads what was clicked so far backwards; t clicks train t (t + 1) / 2 of its steps"
    )
    tied_embeddings: bool = setting(True, "score items with the input embedding instead of a matrix of their own")
    normalize: bool = setting(True, "L2-normalise item and session vectors before they are compared")
    temperature: float = setting(
        0.0, "scores are cosine times this, where normalize is on; 0: log(items) + 4.5", minimum=0
    )
    output_bias: bool = setting(False, "each item's score has a trained constant of its own")
    side_features: str = setting(
        "off",
        "what becomes of features.side_features: not looked at, or a vector each, added to the item's or put beside it",
        choices=("off", "add", "concat"),
    )
    side_embedding_size: int = setting(16, "width of a side feature's vector where it is put beside", minimum=1)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How the network is fitted."""

    epochs: int = setting(20, "passes over the training split at most", minimum=0)
    max_steps: int = setting(-1, "optimiser steps at most; -1: no limit, 0: an untrained model", minimum=-1)
    batch_size: int = setting(
        0,
        "events (predictions) of one step, about; 0: a 75th of the training events, 32 to 512",
        minimum=0,
    )
    stateful: bool = setting(
        False,
        "session-parallel batches: sessions follow each other in lanes, and a session's state is carried over batches",
    )
    stateful_steps: int = setting(
        16, "clicks of each lane in one of these batches; the lanes are batch_size divided by it", minimum=1
    )
    learning_rate: float = setting(0.002, "of the optimiser", minimum=0)
    optimizer: str = setting("adam", "the optimiser", choices=("adam", "nadam", "adamw", "adagrad", "sgd"))
    loss: str = setting(
        "auto",
        "auto: full softmax for small catalogues, sampled above; bpr_max and top1_max compare in pairs",
        choices=("auto", "softmax", "sampled_softmax", "bpr_max", "top1_max"),
    )
    negatives: int = setting(2048, "shared negatives of a step, for every loss but softmax", minimum=1)
    score_regularization: float = setting(1.0, "of bpr_max: pulls the negatives' scores to zero", minimum=0)
    horizon: int = setting(
        1, "outputs a step: after each click the next so many are predicted, all but one in training only", minimum=1
    )
    horizon_weights: tuple[float, ...] = setting(
        (), "weight of each output's predictions in the loss, the next click's first; empty: 1, 1/2, 1/4, ..."
    )
    rare_target_power: float = setting(
        0.0,
        "events weigh by their target's clicks to minus this power, 1 on average; 0: all alike",
        minimum=0,
        maximum=1,
    )
    schedule: str = setting(
        "constant",
        "the learning rate after the warm-up; linear and cosine reach zero after training.epochs",
        choices=("constant", "linear", "cosine"),
    )
    warmup_steps: int = setting(0, "steps in which the learning rate rises to its value", minimum=0)
    sampling_power: float = setting(
        0.5, "negatives are drawn by popularity to this power; 0: all items alike", minimum=0, maximum=1
    )
    momentum: float = setting(0.0, "of the sgd optimiser", minimum=0, maximum=0.999)
    weight_decay: float = setting(0.01, "of the adamw optimiser, times the learning rate at each step", minimum=0)
    label_smoothing: float = setting(0.0, "share of the target's mass given to all items", minimum=0, maximum=0.99)
    clip_value: float = setting(0.0, "bound of each entry of a gradient, before clip_norm; 0: off", minimum=0)
    clip_norm: float = setting(5.0, "global norm that gradients are clipped to; 0: off", minimum=0)
    average_epochs: int = setting(
        1,
        "the model has the mean of the weights after so many of the newest epochs; 1: those after the newest alone",
        minimum=1,
        maximum=20,
    )
    patience: int = setting(2, "epochs without a better validation MRR@20 after which training stops", minimum=1)
    folds: int = setting(
        1, "folds in the order of time that choose the epochs of the refit; 1: the validation split alone", minimum=1
    )
    warm_start: bool = setting(False, "start from the weights of the model served now, item by item")
    warm_refit_epochs: int = setting(
        8, "epochs that the refit of a warm start takes at least, within training.epochs", minimum=1
    )
    members: int = setting(1, "networks from different seeds, exported as one model", minimum=1, maximum=16)
    ensemble: str = setting(
        "mean",
        "what several members' scores become: their mean, or points for each one's 20 best, added up",
        choices=("mean", "vote"),
    )
    precision: str = setting(
        "auto",
        "type of training's matrix products; auto: a narrow one on GPUs that are faster with it, else float32",
        choices=("auto", "float32", "float16", "bfloat16"),
    )
    threads: int = setting(0, "CPU threads; 0: all", minimum=0)

    @property
    def output_weights(self) -> tuple[float, ...]:
        """`horizon_weights` as they are meant: one an output, the greatest of the first where none is configured."""
        return self.horizon_weights or tuple(0.5**number for number in range(self.horizon))


@dataclasses.dataclass(frozen=True)
class HybridConfig:
    """What is mixed with the network's scores inside the model."""

    kind: str = setting("session_knn", "mixed with the network's scores in the model", choices=("off", "session_knn"))
    weight: float = setting(
        0.0, "share of the other's votes in a score; 0: the best on validation", minimum=0, maximum=1
    )
    sessions: int = setting(500_000, "newest sessions that the kNN in the model remembers", minimum=1)


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """What `nextclick tune` does."""

    trials: int = setting(20, "trainings of one search", minimum=1)
    strategy: str = setting("bayesian", "what proposes the next trial", choices=("bayesian", "random"))
    parallel_trials: int = setting(
        1, "trials at a time, each on a machine of its own: above 1 on Vertex only", minimum=1, maximum=100
    )
    space: tuple[str, ...] = setting(
        (
            "training.learning_rate=0.001..0.01:log",
            "model.dropout=0.1..0.5",
            "training.batch_size=128/256/512",
            "model.embedding_size=64/128/192",
        ),
        "what is searched: settings of model and training, each as key=LOW..HIGH, key=LOW..HIGH:log or key=A/B/C",
    )


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """What is exported and pushed."""

    model_name: str = setting("nextclick", "name of the served model", pattern=r"[A-Za-z0-9_-]{1,64}")
    top_k: int = setting(100, "items that serving_default answers", minimum=1, maximum=1000)
    weights: str = setting("float32", "how the exported item tables are stored", choices=("float32", "float16", "int8"))
    exclude_seen: bool = setting(False, "the served lists hold no item of the session itself")
    infra_validator: str = setting(
        "off", "start TF Serving on the exported model before it is pushed", choices=("off", "docker", "kubernetes")
    )
    bulk_inferrer: str = setting(
        "off",
        "split whose sessions a blessed model answers, as Parquet files in the run's artifacts",
        choices=("off", "train", "validation", "test"),
    )


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """What a model must reach to be pushed, on the test split.

    "Surely" speaks of the 95 % interval of a bootstrap over sessions, paired where two models are compared.
    """

    enabled: bool = setting(True, "false: evaluate and report, push whatever came out; recorded as an override")
    baselines: tuple[str, ...] = setting(
        ("popular", "popular_recent", "last_viewed", "item_to_item", "session_knn"), "baselines that a model must beat"
    )
    compare_served: bool = setting(True, "false: forget the served model, where it cannot or must not be compared")
    min_recall: float = setting(0.01, "Recall@20 that anything learnt must reach", minimum=0, maximum=1)
    max_recall_at_1: float = setting(
        0.95, "Recall@1 above which a model must have seen the answer", minimum=0, maximum=1
    )
    min_recall_lift: float = setting(0.0, "Recall@20 less the best baseline's, at least, surely", minimum=-1, maximum=1)
    min_mrr_lift: float = setting(0.0, "MRR@20 less the best baseline's, at least, surely", minimum=-1, maximum=1)
    max_recall_drop: float = setting(0.02, "Recall@20 below the served model's, at most, surely", minimum=0, maximum=1)
    max_mrr_drop: float = setting(0.02, "MRR@20 below the served model's, at most, surely", minimum=0, maximum=1)
    max_slice_drop: float = setting(
        0.05, "Recall@20 of any slice below the served model's, where it surely is", minimum=0, maximum=1
    )
    min_coverage: float = setting(
        0.001, "share of the catalogue that is ever recommended, at least", minimum=0, maximum=1
    )
    max_popularity_lift: float = setting(
        20.0, "how much more popular recommended items are than clicked ones", minimum=0
    )
    max_unknown_targets: float = setting(0.5, "share of test clicks on unknown items, at most", minimum=0, maximum=1)
    max_drift: float = setting(
        0.3, "divergence (Jensen-Shannon) of the test sessions from the training sessions", minimum=0, maximum=1
    )
    max_share_change: float = setting(
        0.3, "change (L-infinity) of an event type's or a frequent item's share of the clicks", minimum=0, maximum=1
    )
    max_span_drift: float = setting(
        0.3, "divergence of the newest span of the log from those before, where it has spans", minimum=0, maximum=1
    )
    max_span_share_change: float = setting(
        0.3, "change of an event type's or a frequent item's share, newest span to those before", minimum=0, maximum=1
    )
    check_serving: bool = setting(True, "ask the serving signatures about test sessions, and time them")
    max_p99_ms: float = setting(500.0, "99th percentile of one request of one session, in process", minimum=0)
    max_weights_loss: float = setting(
        0.002, "MRR@20 that float16 or int8 weights may cost against float32", minimum=0, maximum=1
    )
    max_model_megabytes: float = setting(4000.0, "size of the exported model", minimum=0)
    min_predictions: int = setting(20, "predictions below which no figure is trusted", minimum=1)


@dataclasses.dataclass(frozen=True)
class RetrainConfig:
    """When `nextclick run --if-changed` trains again, besides when there is a new span or no model."""

    new_data: bool = setting(
        True, "changed files are a reason for run --if-changed; false: only a new span, drift or age is"
    )
    max_drift: float = setting(
        0.1,
        "drift of changed files from what the last run learnt from, up to which it is no reason",
        minimum=0,
        maximum=1,
    )
    max_age_days: float = setting(30.0, "age of the served model beyond which it is a reason; 0: none", minimum=0)


@dataclasses.dataclass(frozen=True)
class TrackingConfig:
    """Where runs are written to besides the root folder."""

    mlflow: bool = setting(False, "write each run to MLflow, which must be installed (pip install mlflow-skinny)")
    uri: str = setting("", "MLflow's tracking server or store; empty: the folder mlflow under --root")
    experiment: str = setting("", "MLflow's experiment; empty: pipeline_name")


@dataclasses.dataclass(frozen=True)
class BeamConfig:
    """The engine under ExampleGen, StatisticsGen, Transform and Evaluator."""

    runner: str = setting("direct", "engine of the Beam components", choices=("direct", "flink", "spark", "dataflow"))
    arguments: tuple[str, ...] = setting((), "further Beam arguments, such as --flink_master=HOST:8081")


@dataclasses.dataclass(frozen=True)
class ClusterConfig:
    """Where a compiled pipeline finds its image and its folders; `nextclick submit` can set the folders later."""

    image: str = setting("nextclick-pipeline:0.1.0", "container image made from kubeflow/Dockerfile")
    pipeline_root: str = setting("", "folder of the artifacts, such as gs://BUCKET/nextclick; empty: at submission")
    serving_root: str = setting("", "folder that TF Serving reads, such as gs://BUCKET/serving; empty: at submission")
    project: str = setting("", "Google Cloud project in which parallel trials of a tuning run")
    region: str = setting("", "Vertex region in which parallel trials of a tuning run, such as europe-west4")
    machine_type: str = setting(
        "n1-standard-8", "machine of each parallel trial of a tuning", pattern=r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything a run depends on besides its data and its code."""

    seed: int = setting(42, "of every random choice", minimum=0)
    pipeline_name: str = setting(
        "nextclick", "name of the pipeline in ML Metadata and Kubeflow", pattern=r"[a-z0-9][a-z0-9-]{0,127}"
    )
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    features: FeaturesConfig = dataclasses.field(default_factory=FeaturesConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    hybrid: HybridConfig = dataclasses.field(default_factory=HybridConfig)
    tuning: TuningConfig = dataclasses.field(default_factory=TuningConfig)
    serving: ServingConfig = dataclasses.field(default_factory=ServingConfig)
    gate: GateConfig = dataclasses.field(default_factory=GateConfig)
    retrain: RetrainConfig = dataclasses.field(default_factory=RetrainConfig)
    tracking: TrackingConfig = dataclasses.field(default_factory=TrackingConfig)
    beam: BeamConfig = dataclasses.field(default_factory=BeamConfig)
    cluster: ClusterConfig = dataclasses.field(default_factory=ClusterConfig)

    def __post_init__(self) -> None:
        """Raises ConfigError with every problem in one sentence."""
        found = list(_value_problems(self)) or list(config_checks.problems(self))
        if found:
            raise ConfigError("wrong configuration: " + "; ".join(found))


def settings() -> dict[str, Setting]:
    """Every key of the configuration, in order, by its name."""
    found = {}
    for prefix, cls in _sections():
        hints = get_type_hints(cls)
        for field in dataclasses.fields(cls):
            if "meaning" in field.metadata:
                key = f"{prefix}{field.name}"
                hint = hints[field.name]
                found[key] = Setting(
                    key=key,
                    type=get_origin(hint) or hint,
                    entry=get_args(hint)[0] if get_args(hint) else None,
                    default=field.default,
                    **field.metadata,
                )
    return found


def get(config: Config, key: str) -> Any:
    """Value of "seed" or "section.name"."""
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def replace(config: Config, values: Mapping[str, Any]) -> Config:
    """A copy with the given keys set; the keys must exist. Raises ConfigError on a wrong value."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, {})[name] = value
    changes = sections.pop("", {})
    for section, fields in sections.items():
        changes[section] = dataclasses.replace(getattr(config, section), **fields)
    return dataclasses.replace(config, **changes)


def keep(config: Config, *keys: str) -> Config:
    """A copy in which everything but the named keys and sections is at its default.

    What a component is given is what it depends on: a change of any other setting leaves its cache entry valid.
    """
    kept = {key: get(config, key) for key in settings() if key in keys or key.rpartition(".")[0] in keys}
    return replace(Config(), kept)


def to_json(config: Config) -> str:
    """The canonical text of a configuration: equal configurations have equal texts."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def from_json(text: str) -> Config:
    """Inverse of `to_json`."""
    values = json.loads(text)
    for prefix, cls in _sections():
        if prefix:
            name = prefix.rstrip(".")
            values[name] = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values[name].items()})
    return Config(**values)


def sha256(config: Config) -> str:
    """Hex digest of the configuration's canonical text."""
    return hashlib.sha256(to_json(config).encode()).hexdigest()


def _sections() -> Iterator[tuple[str, type[Any]]]:
    """Prefix of the keys ("" or "data.") and dataclass of each section."""
    yield "", Config
    for name, cls in get_type_hints(Config).items():
        if dataclasses.is_dataclass(cls) and isinstance(cls, type):
            yield f"{name}.", cls


def _value_problems(config: Config) -> Iterator[str]:
    for key, entry in settings().items():
        problem = entry.problem(get(config, key))
        if problem:
            yield problem
