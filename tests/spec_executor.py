"""Runs tasks of a compiled pipeline specification as Kubeflow would: the container's command in a process, no cluster.

Kubeflow replaces `{{$}}` in a task's arguments by an ExecutorInput in JSON and reads an ExecutorOutput from the file
that it names; here the same is done with local folders.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml
from pipeline_runs import environment


class SpecExecutor:
    """Runs the tasks of one specification under a folder, in an order that the caller chooses."""

    def __init__(self, specification: Path, folder: Path, parameters: dict[str, str]):
        self.spec = yaml.safe_load(specification.read_text(encoding="utf-8"))
        self.tasks = self.spec["root"]["dag"]["tasks"]
        self._folder = folder
        self._parameters = parameters
        self._outputs: dict[str, dict] = {}

    def run(self, name: str) -> dict:
        """Runs a task in a process of its own; returns the artifacts that it reports, by output key."""
        component = self.spec["components"][self.tasks[name]["componentRef"]["name"]]
        executor = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        output_file = self._folder / name / "executor_output.json"
        output_file.parent.mkdir(parents=True)
        declared = self._declared(name, component)
        outputs = {"artifacts": declared, "outputFile": str(output_file)}
        executor_input = {"inputs": self._inputs(name), "outputs": outputs}
        if "importer" in executor:
            raise AssertionError("our pipeline has no importer")
        container = executor["container"]
        arguments = [str(a).replace("{{$}}", json.dumps(executor_input)) for a in container.get("args", [])]
        command = [sys.executable if part == "python" else part for part in container["command"]]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=600, env=environment())
        assert done.returncode == 0, done.stderr[-3000:]
        reported = json.loads(output_file.read_text(encoding="utf-8"))["artifacts"]
        self._outputs[name] = {
            key: {**entry["artifacts"][0], **reported.get(key, {"artifacts": [{}]})["artifacts"][0]}
            for key, entry in declared.items()
        }
        return self._outputs[name]

    def _inputs(self, name: str) -> dict:
        inputs = self.tasks[name].get("inputs", {})
        artifacts = {}
        for key, source in inputs.get("artifacts", {}).items():
            producer = source["taskOutputArtifact"]
            artifacts[key] = {"artifacts": [self._outputs[producer["producerTask"]][producer["outputArtifactKey"]]]}
        values = {key: self._value(source) for key, source in inputs.get("parameters", {}).items()}
        return {"artifacts": artifacts, "parameterValues": values}

    def _value(self, source: dict):
        if "componentInputParameter" in source:
            return self._parameters[source["componentInputParameter"]]
        return source["runtimeValue"]["constant"]

    def _declared(self, name: str, component: dict) -> dict:
        """What Kubeflow hands a task for its outputs: a name, a place and the type of each."""
        return {
            key: {
                "artifacts": [
                    {"name": f"{name}-{key}", "uri": str(self._folder / name / key), "type": definition["artifactType"]}
                ]
            }
            for key, definition in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
