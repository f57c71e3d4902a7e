"""In which type training multiplies matrices: float32, or a narrower one where the hardware is faster with it.

Mixed precision (Micikevicius et al. 2018, arXiv 1710.03740): variables, optimiser, normalisation, softmax and loss stay
in float32; only the products of the GRU layers and of session vectors with item vectors take narrow operands, and
their result is float32 again. float16 has so small a range that gradients vanish in it, hence `LossScale`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

FLOAT32, FLOAT16, BFLOAT16 = "float32", "float16", "bfloat16"

# Compute capabilities from which NVIDIA's matrix units multiply in the type (CUDA C++ Programming Guide).
_BFLOAT16_CAPABILITY, _FLOAT16_CAPABILITY = (8, 0), (7, 0)

_FIRST_SCALE, _LARGEST_SCALE, _STEPS_TO_DOUBLE = 2.0**15, 2.0**24, 2000


@dataclasses.dataclass(frozen=True)
class Device:
    """What training runs on.

    Attributes:
      kind: "CPU" or "GPU".
      compute_capability: of an NVIDIA GPU, such as (8, 0); None: unknown, or none.
    """

    kind: str
    compute_capability: tuple[int, int] | None = None


def automatic(devices: Sequence[Device]) -> str:
    """The narrow type that all GPUs among these devices multiply faster in; float32 where there is none.

    What a CPU gains by bfloat16 is too little to let the model depend on the CPU (docs/training.md: measured).
    """
    gpus = [device.compute_capability or (0, 0) for device in devices if device.kind == "GPU"]
    oldest = min(gpus, default=(0, 0))
    if oldest >= _BFLOAT16_CAPABILITY:
        return BFLOAT16
    return FLOAT16 if oldest >= _FLOAT16_CAPABILITY else FLOAT32


def chosen(setting: str) -> str:
    """The type that `training.precision` means on this machine."""
    return automatic(devices()) if setting == "auto" else setting


def devices() -> list[Device]:
    """The devices that TensorFlow would use here."""
    found = []
    for device in tf.config.list_physical_devices():
        details = tf.config.experimental.get_device_details(device) if device.device_type == "GPU" else {}
        found.append(Device(device.device_type, details.get("compute_capability")))
    return found


def product(
    values: tf.Tensor, weights: tf.Tensor, *, transpose_a: bool = False, transpose_b: bool = False
) -> tf.Tensor:
    """The matrix product in the type of `weights`, its result in the type of `values`.

    Args:
      values: [..., n], without leading dimensions but one if something is transposed.
      weights: [n, m].
      transpose_a: as `tf.matmul` has it.
      transpose_b: as `tf.matmul` has it.
    """
    narrow = tf.cast(values, weights.dtype)
    if values.shape.rank == 2:
        return tf.cast(tf.matmul(narrow, weights, transpose_a=transpose_a, transpose_b=transpose_b), values.dtype)
    return tf.cast(tf.tensordot(narrow, weights, 1), values.dtype)


class LossScale(tf.Module):
    """A factor of the loss that keeps small gradients above float16's smallest number.

    It doubles after 2,000 steps with finite gradients, and halves where one is not; such a step changes no weight.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(_FIRST_SCALE, trainable=False)
        self.finite_steps = tf.Variable(0, trainable=False)
        self.skipped_steps = tf.Variable(0, trainable=False)

    def apply(self, gradients: Sequence[Any], step: Callable[[list[Any]], Any]) -> None:
        """Takes a step if all gradients are finite, else counts it as skipped; then adapts the scale.

        Args:
          gradients: of the loss times `scale`, as `Optimizer.apply` takes them.
          step: called with the gradients of the loss itself.
        """
        gradients = [_times(gradient, 1.0 / self.scale) for gradient in gradients]
        finite = tf.reduce_all([_is_finite(gradient) for gradient in gradients if gradient is not None])

        def taken() -> tf.Tensor:
            step(gradients)
            doubles = tf.equal(self.finite_steps.assign_add(1) % _STEPS_TO_DOUBLE, 0)
            return self.scale.assign(tf.where(doubles, tf.minimum(self.scale * 2.0, _LARGEST_SCALE), self.scale))

        def skipped() -> tf.Tensor:
            self.skipped_steps.assign_add(1)
            self.finite_steps.assign(0)
            return self.scale.assign(tf.maximum(self.scale / 2.0, 1.0))

        tf.cond(finite, taken, skipped)


def _times(gradient: Any, factor: tf.Tensor) -> Any:
    if gradient is None:
        return None
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * factor, gradient.indices)
    return gradient * factor


def _is_finite(gradient: Any) -> tf.Tensor:
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    return tf.reduce_all(tf.math.is_finite(values))
