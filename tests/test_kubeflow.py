"""The compiled specifications: loaded by kfp's own loader, free of what Kubeflow 2 cannot run, and run step by step."""

import json
from concurrent import futures

import pipeline_runs as runs
import pytest
import yaml
from spec_executor import SpecExecutor

from nextclick.kubeflow import runner
from nextclick.pipeline import cli, config, overrides
from nextclick.pipeline.definition import bundled_schema_path
from nextclick.pipeline.errors import ConfigError


@pytest.fixture(scope="module")
def specification(tmp_path_factory):
    """The specification for Kubeflow on the bundled sample, with the schema of this checkout: it can run here."""
    file = tmp_path_factory.mktemp("kubeflow") / "pipeline.yaml"
    settings = overrides.load("quick", runs.small_settings()[1::2])
    runner.compile_pipeline(settings, "kubeflow", file, schema_path=bundled_schema_path())
    return file


def test_compile_command_writes_what_kfp_loads(tmp_path, capsys):
    from kfp import components

    file = tmp_path / "pipeline.yaml"
    assert cli.main(["compile", "--target", "kubeflow", "--output", str(file)]) == 0
    assert "nextclick submit" in capsys.readouterr().out
    loaded = components.load_component_from_file(str(file))
    assert loaded.component_spec.implementation.graph is not None
    assert "serving_base_path" in loaded.component_spec.inputs


def test_vertex_job_has_kubeflow_s_pipeline_and_no_cache(tmp_path):
    file = tmp_path / "pipeline.json"
    settings = ["--set", "cluster.pipeline_root=gs://bucket/root", "--set", "cluster.image=image:1"]
    assert cli.main(["compile", "--target", "vertex", "--output", str(file), *settings]) == 0
    job = json.loads(file.read_text(encoding="utf-8"))
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"
    executors = job["pipelineSpec"]["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values() if "container" in executor} == {"image:1"}


def test_specification_needs_no_resolver_no_hook_and_no_cache(specification):
    spec = yaml.safe_load(specification.read_text(encoding="utf-8"))
    executors = spec["deploymentSpec"]["executors"].values()
    assert not any("resolver" in executor for executor in executors)
    assert not any("lifecycle" in executor.get("container", {}) for executor in executors)
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in spec["root"]["dag"]["tasks"].values())


def test_bulk_inferrer_compiles_and_waits_for_the_push(tmp_path):
    from kfp import components

    file = tmp_path / "pipeline.yaml"
    settings = overrides.load("quick", ["serving.bulk_inferrer=test"])
    runner.compile_pipeline(settings, "kubeflow", file)
    assert components.load_component_from_file(str(file)).component_spec.implementation.graph is not None
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    task = spec["root"]["dag"]["tasks"]["BulkInferrer"]
    assert "AtomicPusher" in task["dependentTasks"]
    assert set(task["inputs"]["artifacts"]) == {"examples", "model", "model_blessing"}
    executor = spec["components"][task["componentRef"]["name"]]["executorLabel"]
    arguments = spec["deploymentSpec"]["executors"][executor]["container"]["args"]
    assert "nextclick.components.executors.BatchedBulkInferrerExecutor" in arguments


def test_default_specification_holds_no_path_of_this_machine(tmp_path):
    file = tmp_path / "pipeline.yaml"
    runner.compile_pipeline(config.Config(), "kubeflow", file)
    text = file.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert bundled_schema_path() not in text


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("data.paths=clicks.csv", "clicks.csv is a local path"),
        ("cluster.serving_root=/models", "/models is a local path"),
        ("serving.infra_validator=docker", "serving.infra_validator must be off"),
    ],
)
def test_what_a_cluster_cannot_use_is_refused(assignment, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        runner.compile_pipeline(overrides.load(None, [assignment]), "kubeflow", tmp_path / "pipeline.yaml")


def test_file_name_must_fit_the_target(tmp_path, capsys):
    assert cli.main(["compile", "--target", "kubeflow", "--output", str(tmp_path / "p.json")]) == 2
    assert "writes a .yaml file" in capsys.readouterr().err


def test_first_steps_run_through_the_container_s_entry_point(specification, tmp_path):
    """As on a cluster: separate processes, artifacts handed on by uri and metadata, no hook run before ExampleGen."""
    executor = SpecExecutor(specification, tmp_path, {"serving_base_path": str(tmp_path / "serving")})
    with futures.ThreadPoolExecutor() as pool:
        schema = pool.submit(
            executor.run, "ImportSchemaGen"
        )  # needs none of the others, so that a cluster starts it, too
        examples = executor.run("SessionExampleGen")["examples"]
        assert json.loads(examples["metadata"]["split_names"]) == ["train", "validation", "test"]
        statistics = executor.run("StatisticsGen")["statistics"]
        assert json.loads(statistics["metadata"]["split_names"]) == ["train", "validation", "test"]
        schema.result()
    executor.run("StrictExampleValidator")
