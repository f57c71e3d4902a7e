"""Learning rates: one that never reaches its value, or reaches zero half-way, trains a worse model and says nothing."""

import math

import pytest
import tensorflow as tf

from nextclick.components.schedule import learning_rate
from nextclick.pipeline.config import TrainingConfig


def rates(steps, **settings):
    config = TrainingConfig(learning_rate=0.1, **settings)
    return [float(learning_rate(tf.constant(step, tf.int64), 10, config)) for step in steps]


def test_a_constant_rate_is_constant():
    assert rates([0, 5, 99]) == pytest.approx([0.1, 0.1, 0.1])


def test_a_warm_up_rises_in_equal_parts_and_ends_at_the_rate():
    assert rates(range(6), warmup_steps=4) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_a_line_falls_to_zero_after_the_last_step_and_stays_there():
    assert rates([0, 1, 5, 9, 10, 20], schedule="linear") == pytest.approx([0.1, 0.09, 0.05, 0.01, 0.0, 0.0])


def test_a_cosine_falls_slowly_then_fast_then_slowly():
    expected = [0.05 * (1 + math.cos(math.pi * step / 10)) for step in (0, 1, 5, 9, 10)]
    assert rates([0, 1, 5, 9, 10], schedule="cosine") == pytest.approx(expected, abs=1e-8)
    assert expected[1] == pytest.approx(0.0975528)


def test_a_decay_begins_where_the_warm_up_ends():
    assert rates([0, 1, 2, 6, 9, 10], schedule="linear", warmup_steps=2) == pytest.approx(
        [0.05, 0.1, 0.1, 0.05, 0.0125, 0.0]
    )
