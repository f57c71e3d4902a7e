"""Without this, a settings file that TensorFlow Serving refuses could ship, or be read otherwise than it reads it."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

import nextclick.serving
from nextclick.components import contract
from nextclick.pipeline.errors import ConfigError
from nextclick.serving import labels, model_config, settings_files
from nextclick.serving.settings_files import Batching

SHIPPED = Path(nextclick.serving.__path__[0]) / "config"


def test_messages_have_the_numbers_of_tensorflow_serving_on_the_wire():
    """Bytes written by hand from batching's and TLS's .proto files: field number × 8 + wire type, length, value."""
    batching = settings_files.message_class("BatchingParameters").FromString(
        b"\x0a\x02\x08\x20" b"\x12\x02\x08\x05" b"\x1a\x02\x08\x07" b"\x22\x02\x08\x04" b"\x32\x02\x10\x20"
        b"\x38\x01" b"\x42\x02\x08\x01" b"\x4a\x02\x08\x20"
    )  # fmt: skip
    assert batching.max_batch_size.value == 32
    assert batching.batch_timeout_micros.value == 5
    assert batching.max_enqueued_batches.value == 7
    assert batching.num_batch_threads.value == 4
    assert list(batching.allowed_batch_sizes) == [16, 32]
    assert batching.pad_variable_length_inputs
    assert batching.enable_large_batch_splitting.value
    assert batching.max_execution_batch_size.value == 32
    tls = settings_files.message_class("SSLConfig").FromString(b"\x0a\x01k\x12\x01c\x1a\x01a\x20\x01")
    assert (tls.server_key, tls.server_cert, tls.custom_ca, tls.client_verify) == ("k", "c", "a", True)
    monitoring = settings_files.message_class("MonitoringConfig").FromString(b"\x0a\x06\x08\x01\x12\x02/m")
    assert (monitoring.prometheus_config.enable, monitoring.prometheus_config.path) == (True, "/m")


@pytest.mark.parametrize("name", ["batching_parameters.txt", "batching_parameters_gpu.txt"])
def test_shipped_batching_parameters(name):
    batching = settings_files.read_batching(SHIPPED / name)
    assert batching.max_batch_size == contract.MAX_REQUEST_BATCH
    assert batching.split_large_batches
    assert batching.batch_timeout_seconds <= 0.005, "every lone request waits so long"


def test_shipped_batch_sizes_for_gpus_are_those_that_the_model_is_warmed_up_for():
    from nextclick.components import warmup

    assert (
        settings_files.read_batching(SHIPPED / "batching_parameters_gpu.txt").allowed_batch_sizes == warmup.BATCH_SIZES
    )


def test_shipped_monitoring_config():
    assert settings_files.read_monitoring_path(SHIPPED / "monitoring.config") == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize("name", ["models.config", "models_canary.config"])
def test_shipped_models_config_is_one_of_tensorflow_serving_s(name):
    text = (SHIPPED / name).read_text(encoding="utf-8")
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert model_config.problem_of(config) is None
    (entry,) = config.model_config_list.config
    assert set(entry.version_labels.values()) == set(entry.model_version_policy.specific.versions)


def test_shipped_canary_config_is_what_promote_would_write():
    config = model_config.of_file(SHIPPED / "models.config")
    after = labels.labelled(config, "nextclick", {"stable": 1760086400, "canary": 1760172800, "previous": 1760000000})
    assert after == model_config.of_file(SHIPPED / "models_canary.config")


def test_defaults_are_tensorflow_serving_s(tmp_path):
    (tmp_path / "empty").touch()
    assert settings_files.read_batching(tmp_path / "empty") == Batching(
        max_batch_size=1000,
        max_execution_batch_size=1000,
        batch_timeout_seconds=0.0,
        max_enqueued_batches=10,
        allowed_batch_sizes=(),
        split_large_batches=False,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batch_siz { value: 1 }", 'has no field named "max_batch_siz"'),
        ("max_batch_size: 1", "cannot read"),
        ("max_batch_size { value: 0 }", "must be at least 1"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: 4 allowed_batch_sizes: 2", "must increase"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: 2", "last of allowed_batch_sizes must be 4, received 2"),
        (
            "max_batch_size { value: 4 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 8 }",
            "must lie between 1 and max_batch_size",
        ),
        ("batch_timeout_micros { value: -1 }", "must not be negative"),
    ],
)
def test_wrong_batching_parameters_are_refused_with_the_path(tmp_path, text, words):
    (tmp_path / "batching.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{tmp_path}/batching.txt.*{words}|{words} {tmp_path}/batching.txt"):
        settings_files.read_batching(tmp_path / "batching.txt")


def test_monitoring_may_be_switched_off(tmp_path):
    (tmp_path / "off").write_text("prometheus_config { enable: false }", encoding="utf-8")
    assert settings_files.read_monitoring_path(tmp_path / "off") is None


def test_tls_without_key_or_without_authority_is_refused(tmp_path):
    (tmp_path / "ssl").write_text('server_cert: "c"', encoding="utf-8")
    with pytest.raises(ConfigError, match="server_key and server_cert"):
        settings_files.read_tls(tmp_path / "ssl")
    (tmp_path / "ssl").write_text('server_key: "k" server_cert: "c" client_verify: true', encoding="utf-8")
    with pytest.raises(ConfigError, match="client_verify needs custom_ca"):
        settings_files.read_tls(tmp_path / "ssl")


@pytest.mark.parametrize(
    ("had", "version", "label", "after"),
    [
        ({}, 3, "stable", {"stable": 3}),
        ({}, 3, "canary", {"stable": 2, "canary": 3}),
        ({"stable": 1}, 3, "canary", {"stable": 1, "canary": 3}),
        ({"stable": 1, "canary": 3}, 3, "stable", {"stable": 3, "previous": 1}),
        ({"stable": 2, "previous": 1, "canary": 3}, 3, "stable", {"stable": 3, "previous": 2}),
        ({"stable": 2, "previous": 1}, 2, "stable", {"stable": 2, "previous": 1}),
        ({"stable": 2, "canary": 3}, 1, "stable", {"stable": 1, "canary": 3, "previous": 2}),
    ],
)
def test_labels_after_a_promotion(had, version, label, after):
    assert labels.promoted(had, version, label, (1, 2, 3)) == after


def test_labels_after_a_rollback():
    assert labels.rolled_back({"stable": 3, "previous": 2, "canary": 4}, "m") == {"stable": 2}
    with pytest.raises(ConfigError, match="no version labelled previous"):
        labels.rolled_back({"stable": 2}, "m")
