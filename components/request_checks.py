"""Checks in the served graph: a request whose answer would take the time or memory of many is refused.

What follows a check must wait for it by `tf.control_dependencies`, or it may run, and fail, first.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nextclick.components import contract


def size_checks(sessions: tf.Tensor, items: tf.Tensor) -> list[Any]:
    """Of a request's number of sessions, and of the items of the longest one."""
    return [
        at_most(sessions, contract.MAX_REQUEST_BATCH, "a request", "sessions"),
        at_most(items, contract.MAX_REQUEST_ITEMS, "a session", "items"),
    ]


def at_most(found: tf.Tensor, limit: int, owner: str, things: str) -> Any:
    """Raises InvalidArgumentError "<owner> has more than <limit> <things>" where an integer is above the limit."""
    message = f"{owner} has more than {limit} {things}"
    return tf.debugging.assert_less_equal(found, tf.constant(limit, found.dtype), message)


def same_rows(first: tf.Tensor, second: tf.Tensor, name: str) -> Any:
    """Raises InvalidArgumentError where two inputs [batch, …] are not of equally many sessions."""
    message = f"{name} has another number of sessions than {contract.INPUT_ITEM_IDS}"
    return tf.debugging.assert_equal(tf.shape(second)[0], tf.shape(first)[0], message)


def greatest(values: tf.Tensor) -> tf.Tensor:
    """The greatest of some integers, 0 where there are none."""
    return tf.reduce_max(tf.concat([values, tf.zeros([1], values.dtype)], axis=0))
