"""Trials at the same time on Vertex: the job that TFX asks for, and its machines as processes that share one search.

Vertex itself is never asked: `LocalVertex` takes the custom job as Google's client would, and starts each machine's
command here, with the CLUSTER_SPEC that TFX expects of Vertex. All else is the real thing: the compiled pipeline, TFX's
executors, KerasTuner's chief, its gRPC.
"""

import json
import re
import socket
import subprocess
import sys

import pytest
from pipeline_runs import environment
from tfx.extensions.google_cloud_ai_platform import training_clients
from tfx.extensions.google_cloud_ai_platform.tuner import executor
from tfx.types import standard_artifacts

from nextclick.pipeline import cli, local, overrides
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError

TRIALS, MACHINES = 4, 2
SETTINGS = [
    "tuning.space=training.learning_rate=0.00001/0.001/0.01/0.02",
    "tuning.strategy=random",
    f"tuning.trials={TRIALS}",
    f"tuning.parallel_trials={MACHINES}",
    "training.epochs=2",
    "model.embedding_size=16",
    "model.hidden_units=16",
    "cluster.project=a-project",
    "cluster.region=europe-west4",
    "cluster.machine_type=n1-highmem-4",
    "cluster.image=image:1",
]


def compile_tuning(folder, settings, target="vertex"):
    file = folder / ("pipeline.json" if target == "vertex" else "pipeline.yaml")
    assignments = [part for setting in settings for part in ("--set", setting)]
    return cli.main(["compile", "--tuning", "--target", target, "--output", str(file), *assignments]), file


@pytest.fixture(scope="module")
def tuner_step(tmp_path_factory):
    """Command line and parameters of the Tuner's step in a compiled tuning of the bundled sample."""
    code, file = compile_tuning(tmp_path_factory.mktemp("compiled"), SETTINGS)
    assert code == 0
    spec = json.loads(file.read_text(encoding="utf-8"))["pipelineSpec"]
    task = spec["root"]["dag"]["tasks"]["Tuner"]
    label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
    container = spec["deploymentSpec"]["executors"][label]["container"]
    parameters = {
        name: source["runtimeValue"]["constant"]
        for name, source in task["inputs"]["parameters"].items()
        if "runtimeValue" in source
    }
    return spec, container, parameters


def test_compiled_tuning_ends_at_tfx_s_tuner_for_vertex(tuner_step):
    spec, container, parameters = tuner_step
    tasks = set(spec["root"]["dag"]["tasks"])
    assert {"SessionExampleGen", "Transform", "Tuner"} <= tasks
    assert not tasks & {"Trainer", "GateEvaluator", "AtomicPusher"}
    assert container["image"] == "image:1"
    assert "tfx.extensions.google_cloud_ai_platform.tuner.executor.Executor" in container["args"]
    assert json.loads(parameters["tune_args"]) == {"num_parallel_trials": MACHINES}
    custom = json.loads(parameters["custom_config"])
    assert custom["ai_platform_enable_vertex"] is True
    assert custom["ai_platform_vertex_region"] == "europe-west4"
    assert configuration.from_json(custom["config"]).tuning.trials == TRIALS


def test_one_trial_at_a_time_is_tfx_s_plain_tuner_on_either_target(tmp_path):
    for target in ("vertex", "kubeflow"):
        code, file = compile_tuning(tmp_path, [], target)
        assert code == 0
        text = file.read_text(encoding="utf-8")
        assert "tfx.components.tuner.executor.Executor" in text
        assert "google_cloud_ai_platform" not in text


class LocalVertex(training_clients.VertexJobClient):
    """Google's side: takes a custom job, and runs the command of each of its machines as a process of this one."""

    def __init__(self, region):
        super().__init__(region)
        self.project, self.job, self.said = None, None, {}

    def create_client(self):
        """None: there is no account."""

    def launch_job(self, project, training_job):
        self.project, self.job = project, training_job
        self._job_name = training_job["display_name"]
        pools = training_job["job_spec"]["worker_pool_specs"]
        cluster = {
            f"workerpool{pool}": [f"127.0.0.1:{free_port()}" for _ in range(spec["replica_count"])]
            for pool, spec in enumerate(pools)
        }
        machines = [(name, index) for name, addresses in cluster.items() for index in range(len(addresses))]
        # The last first: whoever comes before the chief waits for it.
        running = {
            machine: start(pools[int(machine[0].removeprefix("workerpool"))], cluster, *machine)
            for machine in reversed(machines)
        }
        for machine, process in running.items():
            _, said = process.communicate(timeout=600)
            assert process.returncode == 0, said[-3000:]
            self.said[machine] = said

    def get_job(self):
        return None

    def get_job_state(self, response):
        return self.JOB_STATES_COMPLETED[0]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(pool, cluster, name, index):
    command = [sys.executable if part == "python" else part for part in pool["container_spec"]["command"]]
    cluster_spec = json.dumps({"cluster": cluster, "task": {"type": name, "index": index}})
    image = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}  # as kubeflow/Dockerfile sets them
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), **image, "CLUSTER_SPEC": cluster_spec},
    )


def artifact(kind, uri):
    made = kind()
    made.uri = str(uri)
    return made


def test_machines_of_the_job_share_the_trials_of_one_search(tuner_step, tmp_path, monkeypatch):
    _, _, parameters = tuner_step
    effective = overrides.load(None, SETTINGS)
    local.make_examples(effective, tmp_path / "root", transformed=True)
    (graph,) = (tmp_path / "root" / "artifacts" / "Transform" / "transform_graph").iterdir()
    (files,) = (tmp_path / "root" / "artifacts" / "Transform" / "transformed_examples").iterdir()
    examples = artifact(standard_artifacts.Examples, files)
    examples.split_names = json.dumps(["train", "validation", "test"])
    inputs = {"examples": [examples], "transform_graph": [artifact(standard_artifacts.TransformGraph, graph)]}
    outputs = {
        "best_hyperparameters": [artifact(standard_artifacts.HyperParameters, tmp_path / "best")],
        "tuner_results": [artifact(standard_artifacts.TunerResults, tmp_path / "results")],
    }
    vertex = LocalVertex("europe-west4")
    monkeypatch.setattr(training_clients, "get_job_client", lambda enable_vertex, region: vertex)
    executor.Executor().Do(inputs, outputs, parameters)

    pools = vertex.job["job_spec"]["worker_pool_specs"]
    assert vertex.project == "a-project"
    assert [pool["replica_count"] for pool in pools] == [1, MACHINES - 1]
    assert {pool["machine_spec"]["machine_type"] for pool in pools} == {"n1-highmem-4"}
    assert {pool["container_spec"]["image_uri"] for pool in pools} == {"image:1"}

    done = {machine: re.findall(r"^trial (\d+) of", said, re.MULTILINE) for machine, said in vertex.said.items()}
    assert set(done) == {("workerpool0", 0), ("workerpool1", 0)}
    assert all(done.values()), done
    assert sorted(trial for trials in done.values() for trial in trials) == [
        str(number + 1) for number in range(TRIALS)
    ]

    results = json.loads((tmp_path / "results" / "tuner_results.json").read_text(encoding="utf-8"))
    assert sorted(entry["training.learning_rate"] for entry in results) == [0.00001, 0.001, 0.01, 0.02]
    best = json.loads((tmp_path / "best" / "best_hyperparameters.txt").read_text(encoding="utf-8"))
    top = max(results, key=lambda entry: entry["score"])
    assert best["values"]["training.learning_rate"] == top["training.learning_rate"]
    keeps_the_best(tmp_path, top)


def keeps_the_best(folder, top):
    """`nextclick tune --results` makes of the cluster's file what a tuning here leaves."""
    file = folder / "results" / "tuner_results.json"
    assert cli.main(["tune", "--results", str(file), "--root", str(folder / "kept"), "--set", "seed=7"]) == 0
    best = overrides.load(str(folder / "kept" / "tuning" / "best.toml"))
    assert (best.training.learning_rate, best.seed) == (top["training.learning_rate"], 7)
    trials = json.loads((folder / "kept" / "tuning" / "trials.json").read_text(encoding="utf-8"))["trials"]
    assert [trial["score"] for trial in trials] == sorted((trial["score"] for trial in trials), reverse=True)


@pytest.mark.parametrize(
    ("settings", "target", "sentence"),
    [
        (SETTINGS[:4], "vertex", "tuning.parallel_trials above 1 needs cluster.project and cluster.region"),
        (SETTINGS, "kubeflow", "tuning.parallel_trials=2 needs --target vertex"),
        (["tuning.space=model.layers=0..2"], "vertex", "model.layers must be at least 1"),
    ],
)
def test_what_the_target_cannot_do_is_said_in_a_sentence(settings, target, sentence, tmp_path, capsys):
    code, file = compile_tuning(tmp_path, settings, target)
    assert code == 2
    assert sentence in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize("number", [0, 101])
def test_a_number_of_trials_out_of_range_is_refused(number, tmp_path, capsys):
    arguments = ["tune", "--set", f"tuning.parallel_trials={number}", "--root", str(tmp_path / "root")]
    assert cli.main(arguments) == 2
    assert re.search(r"tuning\.parallel_trials must be at (least 1|most 100), received", capsys.readouterr().err)


def test_more_machines_than_trials_are_refused():
    with pytest.raises(ConfigError, match=r"parallel_trials must not be greater than tuning\.trials"):
        configuration.replace(Config(), {"tuning.trials": 2, "tuning.parallel_trials": 3})


def test_parallel_trials_on_this_machine_are_refused_before_any_data_are_read(tmp_path, capsys):
    assert cli.main(["tune", "--set", "tuning.parallel_trials=2", "--root", str(tmp_path / "root")]) == 2
    assert "nextclick compile --tuning --target vertex" in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("no json", "cannot be read as the results of a Tuner"),
        ('{"a": 1}', "is not the tuner_results.json of a Tuner"),
        ("[]", "holds no trial that ended"),
        ('[{"score": 0.1, "model.size": 3}]', "has settings that this version does not know: model.size"),
    ],
)
def test_results_that_are_none_are_refused(content, sentence, tmp_path, capsys):
    file = tmp_path / "tuner_results.json"
    file.write_text(content, encoding="utf-8")
    assert cli.main(["tune", "--results", str(file), "--root", str(tmp_path / "root")]) == 2
    assert sentence in capsys.readouterr().err
