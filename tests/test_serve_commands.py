"""Without this, `nextclick serve` and `nextclick predict` could print what no script can read, end with the wrong exit
code, or start TensorFlow Serving with flags that it does not know.
"""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_models
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from nextclick.pipeline import cli
from nextclick.pipeline.errors import ConfigError, ServingError
from nextclick.serving import external, model_config, server
from nextclick.serving.client import Client


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "serving" / "tiny").mkdir(parents=True)
    tiny_models.save(root / "serving" / "tiny" / "1700000000")
    return root


@pytest.fixture(scope="module")
def address(root):
    version = root / "serving" / "tiny" / "1700000000"
    with server.running("--model", str(version), "--server", "local") as facts:
        yield facts["grpc"]


def predict(address, *arguments):
    return cli.main(["predict", *arguments, "--address", address, "--model", "tiny", "--timeout", "20"])


def test_predict_prints_items_and_scores_and_tells_the_version(address, tmp_path, capsys):
    file = tmp_path / "answer.json"
    assert predict(address, "a", "b", "-k", "3", "--exclude", "b", "--exclude", "d", "--json", str(file)) == 0
    printed = capsys.readouterr()
    assert printed.out == "c\t-0.0000\na\t-2.0000\ne\t-2.0000\n"
    assert printed.err.startswith("model tiny, version 1700000000, ")
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written.pop("milliseconds") > 0
    assert written == {
        "address": address,
        "model": "tiny",
        "model_version": 1700000000,
        "items": ["c", "a", "e"],
        "scores": [0.0, -2.0, -2.0],
    }


def test_predict_says_when_the_model_answers_fewer_items(address, capsys):
    assert predict(address, "a", "-k", "12") == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 10
    assert "only 10 of 12 items" in printed.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a", "--model", "nobody"], 1, "does not serve what was asked of model nobody"),
        (["a", "--label", "blue"], 1, "refused a request for model tiny with INVALID_ARGUMENT: Unrecognized"),
        (["a", "-k", "0"], 2, "k must lie between 1 and 1000"),
        (["a" * 257], 2, "has 257 bytes, at most 256"),
        (["a", "--address", "here"], 2, "the address must be HOST:PORT"),
        (["a", "--tls-key", "key.pem"], 2, "needs both certificate_file and key_file"),
    ],
)
def test_predict_errors_are_one_sentence_with_their_exit_code(address, capsys, arguments, code, words):
    found = cli.main(["predict", "--address", address, "--model", "tiny", "--timeout", "20", *arguments])
    printed = capsys.readouterr()
    assert found == code
    assert printed.out == ""
    assert printed.err.startswith("nextclick: ")
    assert words in printed.err
    assert printed.err.count("\n") == 1


def test_predict_is_instant_without_tensorflow(address):
    code = (
        "import sys; from nextclick.pipeline import cli;"
        f"code = cli.main(['predict', 'a', '--address', '{address}', '--model', 'tiny', '--timeout', '20']);"
        "sys.exit(code or 'tensorflow' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def serve(*arguments):
    return cli.main(["serve", *arguments])


def test_serve_without_a_pushed_model_says_what_to_do(tmp_path, capsys):
    assert serve("--root", str(tmp_path)) == 2
    assert (
        f"no model has been pushed under {tmp_path}/serving: run nextclick run --root {tmp_path} first"
        in capsys.readouterr().err
    )
    assert serve("--model", str(tmp_path)) == 2
    assert f"{tmp_path} is no served model" in capsys.readouterr().err


def test_serve_with_a_wrong_port(root, capsys):
    assert serve("--root", str(root), "--port", "65536") == 2
    assert "--port must lie between 0 and 65535, received 65536" in capsys.readouterr().err


def test_serve_on_a_taken_port_ends_with_1(root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(ServingError, match=f"exit code 1.*cannot listen on 127.0.0.1:{port}"):
            server.start("--root", str(root), "--port", port, "--server", "local")


def test_serve_with_nothing_but_a_broken_version_ends_with_1_and_the_reason(tmp_path):
    (tmp_path / "broken" / "3").mkdir(parents=True)
    with pytest.raises(
        ServingError, match=r"exit code 1; .*no version of model broken can be served: cannot load version 3"
    ):
        server.start("--model", str(tmp_path / "broken"), "--server", "local")


def test_one_version_is_served_alone(root, tmp_path):
    config = model_config.of_folder(root / "serving" / "tiny" / "1700000000")
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path) == ("tiny", str(root / "serving" / "tiny"))
    assert list(entry.model_version_policy.specific.versions) == [1700000000]


def config_of(text):
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


ENTRY = 'config {{ name: "m" base_path: "/m" model_platform: "tensorflow" {} }}'


@pytest.mark.parametrize(
    ("policy", "refused", "wanted"),
    [
        ("", (), [9]),
        ("", (9,), [7]),
        ("model_version_policy { latest { num_versions: 2 } }", (), [9, 7]),
        ("model_version_policy { all {} }", (7,), [9, 3]),
        ("model_version_policy { specific { versions: 3 versions: 4 } }", (), [3]),
    ],
    ids=["default", "newest refused", "two", "all", "specific"],
)
def test_version_policy(policy, refused, wanted):
    (entry,) = config_of(f"model_config_list {{ {ENTRY.format(policy)} }}").model_config_list.config
    assert model_config.aspired(entry, [3, 7, 9], refused) == wanted


def test_versions_on_disk_are_numbered_folders_in_the_order_of_numbers(tmp_path):
    for name in ("9", "10", "0002", "x", ".incoming-11", "-1", "1.5", str(2**63)):
        (tmp_path / name).mkdir()
    (tmp_path / "12").touch()
    assert model_config.versions_on_disk(tmp_path) == {2: tmp_path / "0002", 9: tmp_path / "9", 10: tmp_path / "10"}
    assert model_config.versions_on_disk(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model_config_list { config { nam: 1 } }", 'has no field named "nam"'),
        ("custom_model_config {}", "must hold a model_config_list"),
        ('model_config_list { config { base_path: "/m" model_platform: "tensorflow" } }', "needs a name"),
        ('model_config_list { config { name: "m" base_path: "/m" model_platform: "torch" } }', 'received "torch"'),
        (f"model_config_list {{ {ENTRY.format('')} {ENTRY.format('')} }}", "model m is listed more than once"),
    ],
)
def test_a_wrong_models_config_is_refused_with_its_path(tmp_path, text, words):
    (tmp_path / "models.config").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{tmp_path}/models.config.*{words}"):
        model_config.of_file(tmp_path / "models.config")


def test_models_config_beside_the_models_wins_and_its_paths_are_relative_to_it(root, tmp_path):
    (tmp_path / "serving").mkdir()
    text = 'model_config_list { config { name: "shop" base_path: "tiny" model_platform: "tensorflow" } }'
    (tmp_path / "serving" / "models.config").write_text(text, encoding="utf-8")
    (entry,) = model_config.of_root(tmp_path).model_config_list.config
    assert (entry.name, entry.base_path) == ("shop", str(tmp_path / "serving" / "tiny"))


FILES = external.SettingsFiles(Path("/s/batching.txt"), Path("/s/monitoring.config"), Path("/s/ssl.config"))


def test_command_of_the_program():
    endpoint = external.Endpoint("127.0.0.1", 8500, 8501)
    assert external.program_command(Path("/c/models.config"), endpoint, FILES) == [
        "tensorflow_model_server",
        "--port=8500",
        "--model_config_file=/c/models.config",
        "--file_system_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
        "--num_load_threads=1",
        "--num_unload_threads=1",
        "--rest_api_port=8501",
        "--enable_batching=true",
        "--batching_parameters_file=/s/batching.txt",
        "--monitoring_config_file=/s/monitoring.config",
        "--ssl_config_file=/s/ssl.config",
    ]


def test_command_of_the_container():
    config = config_of(f"model_config_list {{ {ENTRY.format('')} }}")
    endpoint, files = external.Endpoint("127.0.0.1", 9000, None), external.SettingsFiles()
    command = external.docker_command(config, Path("/tmp/x/models.config"), endpoint, files)
    start = "docker run --rm --init -p 127.0.0.1:9000:8500 -v /m:/m:ro -v /tmp/x:/tmp/x:ro --entrypoint"
    assert command[:11] == start.split()
    assert command[11] == "tensorflow_model_server"
    assert command[12].startswith("tensorflow/serving:")
    assert not command[12].endswith(":latest")
    assert command[13:15] == ["--port=8500", "--model_config_file=/tmp/x/models.config"]
    assert not any(flag.startswith(("--rest_api_port", "--enable_batching")) for flag in command)
    mounted = external.docker_command(config, Path("/tmp/x/models.config"), endpoint, FILES)
    assert "/s/batching.txt:/s/batching.txt:ro" in mounted


def test_docker_without_an_engine_does_not_count(tmp_path, monkeypatch):
    program(tmp_path / "docker", "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server.choose() == "local"
    program(tmp_path / "docker", "#!/bin/sh\necho 28.2\n")
    assert server.choose() == "docker"
    program(tmp_path / "tensorflow_model_server", "#!/bin/sh\n")
    assert server.choose() == "tensorflow_model_server"


def test_the_program_is_preferred_awaited_and_stopped_with_us(root, tmp_path, monkeypatch):
    """A stand-in on PATH that takes TensorFlow Serving's flags and hands them to the local server."""
    stand_in = f"""#!{sys.executable}
import os, sys
from nextclick.serving import local, model_config
flags = dict(flag.lstrip("-").split("=", 1) for flag in sys.argv[1:])
settings = local.LocalSettings(port=int(flags["port"]))
from pathlib import Path
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
local.run(model_config.of_file(Path(flags["model_config_file"])), settings)
"""
    program(tmp_path / "tensorflow_model_server", stand_in)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    process, facts = server.start("--root", str(root))
    try:
        assert facts["server"] == "tensorflow_model_server"
        assert facts["models"] == {"tiny": 1700000000}
        with Client(facts["grpc"], "tiny", timeout_seconds=20) as client:
            assert client.predict(["a"], k=1).items == ("b",)
    finally:
        assert server.stop(process) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def program(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
