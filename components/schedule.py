"""The learning rate of each step: a warm-up, then constant, or down to zero along a line or half a cosine."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from nextclick.pipeline.config import TrainingConfig


def learning_rate(step: Any, total_steps: int, config: TrainingConfig) -> tf.Tensor:
    """Rate of a step.

    Over the first `warmup_steps` the rate rises in equal parts to `learning_rate`. From there, `linear` and `cosine`
    (Loshchilov & Hutter 2017, arXiv 1608.03983, without restarts) reach zero after the last of `total_steps`.

    Args:
      step: int, from 0.
      total_steps: of the whole training, were it not stopped early.
      config: section `training`.

    Returns: float32 scalar.
    """
    done = tf.cast(step, tf.float32)
    rate = tf.constant(config.learning_rate, tf.float32)
    if config.warmup_steps:
        rate *= tf.minimum(1.0, (done + 1.0) / config.warmup_steps)
    if config.schedule == "constant":
        return rate
    decaying = max(1, total_steps - config.warmup_steps)
    progress = tf.clip_by_value((done - config.warmup_steps) / decaying, 0.0, 1.0)
    if config.schedule == "linear":
        return rate * (1.0 - progress)
    return rate * 0.5 * (1.0 + tf.cos(math.pi * progress))
