"""Without this, a wrong setting would be found in the middle of a run, and equal configurations could hash apart."""

import dataclasses

import pytest

from nextclick.pipeline import config
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError

# INTERFACE.md, "Configuration keys that scripts use".
STABLE_KEYS = [
    "seed",
    "data.min_session_length",
    "data.max_session_length",
    "data.validation_days",
    "data.test_days",
    "data.max_rejected_share",
    "data.spans",
    "features.window_length",
    "features.lookback",
    "features.min_item_support",
    "features.oov_buckets",
    "model.embedding_size",
    "model.hidden_units",
    "model.layers",
    "model.dropout",
    "training.epochs",
    "training.max_steps",
    "training.batch_size",
    "training.learning_rate",
    "training.optimizer",
    "training.loss",
    "training.warm_start",
    "training.threads",
    "serving.model_name",
    "serving.top_k",
    "gate.enabled",
    "data.refit",
]


@pytest.mark.parametrize("key", STABLE_KEYS)
def test_key_that_scripts_use_exists(key):
    assert key in config.settings()


def test_every_setting_says_what_it_means():
    assert [key for key, entry in config.settings().items() if not entry.meaning] == []


def test_json_round_trip_keeps_every_value():
    changed = config.replace(Config(), {"seed": 7, "data.paths": ("a,b", "ü"), "training.warm_start": True})
    assert config.from_json(config.to_json(changed)) == changed


def test_equal_configurations_have_one_hash_and_different_ones_two():
    assert config.sha256(Config()) == config.sha256(config.replace(Config(), {"seed": 42}))
    assert config.sha256(Config()) != config.sha256(config.replace(Config(), {"seed": 43}))


def test_all_problems_come_in_one_sentence():
    with pytest.raises(ConfigError) as caught:
        config.replace(Config(), {"seed": -1, "model.dropout": 1.5, "training.optimizer": "adm"})
    message = str(caught.value)
    assert "seed must be at least 0, received -1" in message
    assert "model.dropout must be at most 0.95, received 1.5" in message
    assert "training.optimizer must be one of" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.embedding_size", 0),
        ("model.embedding_size", 3.5),
        ("model.embedding_size", True),
        ("model.dropout", float("nan")),
        ("model.dropout", -0.5),
        ("data.paths", "a.csv"),
        ("serving.model_name", "a/b"),
        ("pipeline_name", "Upper"),
        ("training.warm_start", 1),
    ],
)
def test_value_out_of_type_or_bounds_is_refused(key, value):
    with pytest.raises(ConfigError, match=key):
        config.replace(Config(), {key: value})


def test_shortest_session_longer_than_longest_is_refused():
    with pytest.raises(ConfigError, match=r"data\.min_session_length must not be greater"):
        config.replace(Config(), {"data.min_session_length": 9, "data.max_session_length": 8})


def test_bulk_inferrer_on_sessions_longer_than_a_request_is_refused():
    long = {"data.max_session_length": 1001}
    config.replace(Config(), long)
    with pytest.raises(ConfigError, match=r"serving\.bulk_inferrer needs data\.max_session_length of at most 1000"):
        config.replace(Config(), {**long, "serving.bulk_inferrer": "test"})


def test_label_smoothing_of_a_loss_that_has_none_is_refused():
    with pytest.raises(ConfigError, match=r"training\.label_smoothing is of softmax losses"):
        config.replace(Config(), {"training.loss": "bpr_max", "training.label_smoothing": 0.1})


def test_keep_leaves_only_the_named_sections_and_keys():
    changed = config.replace(Config(), {"seed": 7, "features.lookback": 9, "data.refit": False, "gate.enabled": False})
    kept = config.keep(changed, "features", "data.refit")
    assert kept == config.replace(Config(), {"features.lookback": 9, "data.refit": False})


def test_configuration_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1
