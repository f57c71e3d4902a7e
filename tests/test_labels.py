"""Without this, a promotion could interrupt callers, drop other models, or leave server and file in two minds."""

import shutil
import time

import pytest
import tiny_models
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from nextclick.pipeline import cli
from nextclick.pipeline.errors import ServingError
from nextclick.serving import labels, model_config, server
from nextclick.serving.client import Client

# A model for each test, all on one server.
MODELS = ("broken", "hand", "other", "shop", "strict")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    first = tiny_models.save(root / "1")
    second = tiny_models.save(root / "2", shift=2)
    for name in MODELS:
        shutil.copytree(first, root / "serving" / name / "1")
        shutil.copytree(second, root / "serving" / name / "2")
    return root


@pytest.fixture(scope="module")
def address(root):
    with server.running("--root", str(root), "--server", "local", "--poll-seconds", "0.1") as facts:
        yield facts["grpc"]


def command(address, root, model, *arguments):
    return cli.main([*arguments, "--root", str(root), "--model", model, "--address", address])


def version_of(address, model, label=None):
    with Client(address, model, label=label, timeout_seconds=20) as client:
        answer = client.predict(["a"], k=3)
    assert (answer.items, answer.scores) == tiny_models.expected(["a"], answer.model_version, 3)
    return answer.model_version


def file_of(root):
    path = root / "serving" / "models.config"
    return path.read_bytes() if path.exists() else None


def written(root, model):
    """Labels and versions in the file, read by the official message class."""
    config = text_format.Parse(file_of(root), model_server_config_pb2.ModelServerConfig())
    assert tuple(entry.name for entry in config.model_config_list.config) == MODELS
    (entry,) = [entry for entry in config.model_config_list.config if entry.name == model]
    return dict(entry.version_labels), list(entry.model_version_policy.specific.versions)


def test_canary_promotion_rollback_and_back_to_latest(root, address, capsys):
    assert command(address, root, "shop", "promote", "--as", "canary") == 0
    assert capsys.readouterr().out == f"model shop at {address} serves: stable 1, canary 2\n"
    labelled = [version_of(address, "shop", label) for label in ("stable", "canary", None)]
    assert labelled == [1, 2, 2]
    assert written(root, "shop") == ({"stable": 1, "canary": 2}, [1, 2])

    tiny_models.save(root / "serving" / "shop" / "3", shift=3)
    assert command(address, root, "shop", "promote") == 0
    labelled = [version_of(address, "shop", label) for label in ("stable", "previous", None)]
    assert labelled == [2, 1, 2]
    assert written(root, "shop") == ({"stable": 2, "previous": 1}, [1, 2])
    with pytest.raises(ServingError, match="Unrecognized servable version label: canary"):
        version_of(address, "shop", "canary")

    assert command(address, root, "shop", "rollback") == 0
    assert (version_of(address, "shop", "stable"), version_of(address, "shop")) == (1, 1)
    assert written(root, "shop") == ({"stable": 1}, [1])
    capsys.readouterr()
    assert command(address, root, "shop", "rollback") == 2
    assert "has no version labelled previous" in capsys.readouterr().err

    assert command(address, root, "shop", "promote", "--latest") == 0
    assert version_of(address, "shop") == 3
    assert written(root, "shop") == ({}, [])
    assert version_of(address, "other") == 2


def test_a_version_that_does_not_load_is_not_promoted_and_nothing_changes(root, address, capsys):
    assert command(address, root, "broken", "promote", "1") == 0
    shutil.rmtree(root / "serving" / "broken" / "2" / "variables")
    before = file_of(root)
    capsys.readouterr()
    assert command(address, root, "broken", "promote", "2") == 1
    assert f"{address} cannot load version 2 of model broken" in capsys.readouterr().err
    assert (version_of(address, "broken", "stable"), version_of(address, "broken")) == (1, 1)
    assert file_of(root) == before


def test_wrong_promotions_change_nothing(root, address, capsys):
    before = file_of(root)
    assert command(address, root, "other", "promote", "9") == 2
    assert "no version 9 of model other" in capsys.readouterr().err
    assert command(address, root, "nobody", "promote") == 2
    assert "no model nobody in the configuration; it has: broken, hand, other, shop, strict" in capsys.readouterr().err
    assert command("127.0.0.1:9", root, "other", "promote", "1") == 1
    assert "no server answers at 127.0.0.1:9" in capsys.readouterr().err
    assert file_of(root) == before


def test_a_label_in_use_cannot_move_to_a_version_that_is_not_loaded(root, address):
    """TensorFlow Serving's rule: `apply` takes two steps; a single one is refused and changes nothing."""
    config = model_config.of_root(root)
    labels.apply(config, labels.labelled(config, "strict", {"stable": 1}), "strict", [address])
    with pytest.raises(ServingError, match="FAILED_PRECONDITION: Request to assign label to version 2"):
        labels.reload(address, labels.labelled(config, "strict", {"stable": 2}), "strict")
    assert version_of(address, "strict", "stable") == 1
    assert version_of(address, "other") == 2


def test_a_file_changed_by_hand_is_read_again(root, address):
    config = labels.labelled(model_config.of_root(root), "hand", {"stable": 1, "blue": 2})
    labels.write(config, root / "serving" / "models.config")
    end = time.monotonic() + 60
    while (found := labelled_version(address, "hand", "blue")) is None:
        assert time.monotonic() < end, "the file was not read"
    assert found == 2


def test_the_file_is_replaced_and_never_written_into(root, tmp_path):
    config = model_config.of_root(root)
    labels.write(config, tmp_path / "models.config")
    (tmp_path / "as a reader holds it").hardlink_to(tmp_path / "models.config")
    before = (tmp_path / "models.config").read_bytes()
    labels.write(labels.labelled(config, "other", {"stable": 1}), tmp_path / "models.config")
    assert (tmp_path / "as a reader holds it").read_bytes() == before
    assert (tmp_path / "models.config").read_bytes() != before
    assert len(list(tmp_path.iterdir())) == 2, "nothing is left beside it"


def labelled_version(address, model, label):
    """The version of a label, or None while there is no such label."""
    with Client(address, model, label=label, timeout_seconds=20) as client:
        try:
            return client.predict(["a"]).model_version
        except ServingError as error:
            if "Unrecognized servable version label" not in str(error):
                raise
            return None
