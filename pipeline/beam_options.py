"""From the configuration to Beam's arguments, for each engine that runs the Beam components."""

from __future__ import annotations

from nextclick.pipeline.config import Config

# Named in full: newer Beam versions would otherwise try Prism, a binary that they download at run time.
_IN_MEMORY_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
# Without an image TFX packs itself up in each component, for workers elsewhere: four seconds, never used here.
_NO_IMAGE = "--sdk_container_image=none"
_RUNNERS = {"flink": "FlinkRunner", "spark": "SparkRunner", "dataflow": "DataflowRunner"}


def beam_arguments(config: Config) -> list[str]:
    """Arguments of `apache_beam.Pipeline` for `beam.runner`, followed by the configuration's own `beam.arguments`.

    `direct` is the in-memory runner in one process: starting worker processes that each import TensorFlow costs
    more than they save until the data outgrows the machine (ENVIRONMENT: 2.5 times slower at 5,000 sessions), and
    then a cluster is the answer.
    """
    if config.beam.runner == "direct":
        in_memory = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
        runner = [f"--runner={_IN_MEMORY_RUNNER}", *in_memory, _NO_IMAGE]
    else:
        runner = [f"--runner={_RUNNERS[config.beam.runner]}"]
    return [*runner, *config.beam.arguments]
