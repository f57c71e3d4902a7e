"""The Vertex job in which TFX's Tuner runs trials at the same time: what its executor wants in `custom_config`.

The pipeline's Tuner step starts a custom job of `tuning.parallel_trials` machines and waits for it. On each, TFX runs
the tuner with KerasTuner's KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, made from the
CLUSTER_SPEC that Vertex sets. The first machine also runs the chief: a process that proposes every trial, hears every
score, and writes the results.
"""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.config import Config

# Names that TFX reads (tfx.extensions.google_cloud_ai_platform: ENABLE_VERTEX_KEY, VERTEX_REGION_KEY, TUNING_ARGS_KEY).
_ENABLE_VERTEX, _REGION, _JOB = "ai_platform_enable_vertex", "ai_platform_vertex_region", "ai_platform_tuning_args"


def vertex_job(config: Config) -> dict[str, Any]:
    """Entries of the Tuner's `custom_config`; the executor adds a pool of all machines but the first, alike."""
    machine = {
        "machine_spec": {"machine_type": config.cluster.machine_type},
        "replica_count": 1,
        "container_spec": {"image_uri": config.cluster.image},
    }
    return {
        _ENABLE_VERTEX: True,
        _REGION: config.cluster.region,
        _JOB: {
            "project": config.cluster.project,
            "display_name": f"{config.pipeline_name}-tuning",
            "job_spec": {"worker_pool_specs": [machine]},
        },
    }


def missing(config: Config) -> list[str]:
    """Settings that parallel trials need and that are empty."""
    return [f"cluster.{name}" for name in ("project", "region") if not getattr(config.cluster, name)]
