"""SessionExampleGen: the TFX component that turns a click log into raw tf.Examples, one a session, split by time.

It has no driver and needs no hook before it runs: which files there are is found by the executor, and what they hold
reaches TFX's cache as a parameter, so that it does the same under every orchestrator.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, component_spec, standard_artifacts

from nextclick.components import contract, counts, ingest, inputs, readers, span_drift
from nextclick.pipeline import config
from nextclick.pipeline.config import Config, DataConfig
from nextclick.pipeline.errors import DataError

EXAMPLES = "examples"
COUNTS_FILE = "counts.json"
DEAD_LETTER_FOLDER = "dead_letter"


def input_fingerprint(effective: Config) -> str:
    """Hex SHA-256 over the names and the content of all files that a configuration reads.

    Raises:
        DataError: a path that does not exist or cannot be listed.
    """
    return inputs.fingerprint(*inputs.find_inputs(effective.data))


class Executor(base_beam_executor.BaseBeamExecutor):
    """Runs the Beam pipeline of `ingest`, then judges its counts."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the splits, counts.json, dead_letter/ and, of a log in spans, span_drift.json below `examples`.

        Raises:
            DataError: the log cannot be read, or no three splits can be made of it.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        data = config.from_json(exec_properties["config_json"]).data
        examples = artifact_utils.get_single_instance(output_dict[EXAMPLES])
        outputs = _outputs(examples)
        tally = self._ingest(data, outputs)
        with fileio.open(posixpath.join(examples.uri, COUNTS_FILE), "w") as stream:
            stream.write(json.dumps(counts.summary(tally), indent=2, ensure_ascii=False))
        try:
            counts.check(tally, data)
        except DataError as error:
            raise DataError(str(error) + _keep_rejected_rows(outputs, exec_properties.get("refused_folder"))) from error
        finally:
            fileio.rmtree(outputs.temporary)
        examples.set_string_custom_property("input_fingerprint", exec_properties.get("input_fingerprint") or "")

    def _ingest(self, data: DataConfig, outputs: ingest.Outputs) -> counts.Tally:
        make_pipeline: Callable[[], Any] = self._make_beam_pipeline
        clicks, tests = inputs.find_inputs(data)
        for file in (*clicks, *tests):  # a wrong file is said before a right one is read
            readers.open_log(file, data)
        with make_pipeline() as pipeline:
            ingest.build(pipeline, clicks, tests, data=data, outputs=outputs)
        with fileio.open(outputs.tally) as stream:
            tally = counts.from_json(stream.read())
        tally.warnings += _only_span(clicks)
        return tally


class SessionExampleGenSpec(component_spec.ComponentSpec):
    """Parameters and output of `SessionExampleGen`."""

    INPUTS: dict[str, component_spec.ChannelParameter] = {}  # noqa: RUF012
    OUTPUTS = {EXAMPLES: component_spec.ChannelParameter(type=standard_artifacts.Examples)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        name: component_spec.ExecutionParameter(type=str)
        for name in ("config_json", "input_fingerprint", "code_sha256", "refused_folder")
    }


class SessionExampleGen(base_beam_component.BaseBeamComponent):
    """Reads click logs; output `examples` with the splits train, validation and test (`contract.SPLITS`).

    Beside the splits lie counts.json (what became of each row and session), dead_letter/ (the rejected rows) and, where
    the log comes in spans, span_drift.json (how far the newest is from those before).
    """

    SPEC_CLASS = SessionExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self, config_json: str, input_fingerprint: str = "", *, code_sha256: str = "", refused_folder: str = ""
    ) -> None:
        """Makes the node.

        Args:
            config_json: `config.to_json` of a configuration; only its section `data` is looked at.
            input_fingerprint: of `input_fingerprint`; files that changed are then a miss in TFX's cache.
            code_sha256: of our code; a change is a miss, too.
            refused_folder: gets the dead letter of a run that ends here, of which TFX removes the outputs; "": none.
        """
        spec: Any = SessionExampleGenSpec(
            config_json=config_json,
            input_fingerprint=input_fingerprint,
            code_sha256=code_sha256,
            refused_folder=refused_folder,
            examples=types.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)


def _outputs(examples: types.Artifact) -> ingest.Outputs:
    """Describes the artifact and says where its parts go."""
    examples.split_names = artifact_utils.encode_split_names(list(contract.SPLITS))
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    temporary = posixpath.join(examples.uri, ".temporary")
    outputs = ingest.Outputs(
        splits={split: artifact_utils.get_split_uri([examples], split) for split in contract.SPLITS},
        dead_letter=posixpath.join(examples.uri, DEAD_LETTER_FOLDER),
        temporary=temporary,
        tally=posixpath.join(temporary, "tally.json"),
        span_drift=posixpath.join(examples.uri, span_drift.FILE),
    )
    for folder in (*outputs.splits.values(), outputs.dead_letter, temporary):
        fileio.makedirs(folder)
    return outputs


def _only_span(clicks: list[inputs.InputFile]) -> list[str]:
    """A warning where there is nothing to compare the newest span with."""
    spans = {file.span for file in clicks if file.span is not None}
    if len(spans) != 1:
        return []
    return [f"span {spans.pop()} is the only one that is read, so that drift between spans cannot be seen"]


def _keep_rejected_rows(outputs: ingest.Outputs, refused_folder: str | None) -> str:
    """Copies the dead letter; the end of the sentence that says so."""
    rejected = [str(name) for name in fileio.listdir(outputs.dead_letter)]
    if not (rejected and refused_folder):
        return ""
    if fileio.exists(refused_folder):
        fileio.rmtree(refused_folder)
    fileio.makedirs(refused_folder)
    for name in rejected:
        fileio.copy(posixpath.join(outputs.dead_letter, name), posixpath.join(refused_folder, name))
    return f"; the rejected rows are in {refused_folder}"
