"""Mixed precision: it must be off where it gains nothing, and neither weights nor what is served may become narrow."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from test_fitting import ITEMS, TRAIN, config_of

from nextclick.components import precision, steps
from nextclick.components.batches import make_plan
from nextclick.components.fitting import fit_epochs
from nextclick.components.gru import GatedRecurrent
from nextclick.components.model import Recommender, build_model
from nextclick.components.precision import Device, LossScale, automatic
from nextclick.pipeline import cli
from nextclick.pipeline import config as configuration

CPU = Device("CPU")


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ([CPU], "float32"),
        ([], "float32"),
        ([CPU, Device("GPU", (6, 1))], "float32"),
        ([CPU, Device("GPU", (7, 0))], "float16"),
        ([CPU, Device("GPU", (7, 5))], "float16"),
        ([CPU, Device("GPU", (8, 0))], "bfloat16"),
        ([CPU, Device("GPU", (9, 0))], "bfloat16"),
        ([CPU, Device("GPU", (9, 0)), Device("GPU", (7, 5))], "float16"),
        ([CPU, Device("GPU", (9, 0)), Device("GPU", (6, 1))], "float32"),
        ([CPU, Device("GPU")], "float32"),
    ],
)
def test_auto_is_narrow_only_where_every_gpu_multiplies_faster_in_it(devices, expected):
    assert automatic(devices) == expected


def test_auto_is_float32_without_a_gpu():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU here")
    assert precision.chosen("auto") == build_model(config_of(), ITEMS).precision == "float32"


def steps_of(kind, **settings):
    tf_keras.utils.set_random_seed(1)
    config = configuration.replace(config_of(precision=kind, **settings), {"model.dropout": 0.0})
    model = build_model(config, ITEMS)
    return steps.TrainingSteps(model, TRAIN.windows, config.training, 1, total_steps=1000)


def mean_loss(trained, epochs=2):
    generator = np.random.default_rng(0)
    for _ in range(epochs):
        plan = make_plan(TRAIN.windows, 32, generator)
        loss, events = trained.run(plan, 0, len(plan))
    return loss / events


@pytest.fixture(scope="module")
def trained():
    """Steps that went through two epochs, and their mean loss, by precision."""
    found = {kind: steps_of(kind) for kind in ("float32", "bfloat16", "float16")}
    return {kind: (run, mean_loss(run)) for kind, run in found.items()}


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_narrow_products_train_to_about_the_same_loss(trained, kind):
    (wide_steps, wide), (narrow_steps, narrow) = trained["float32"], trained[kind]
    assert narrow == pytest.approx(wide, rel=0.05)
    first = [run.model.trainable_variables[0].numpy() for run in (wide_steps, narrow_steps)]
    assert (first[0] != first[1]).any()  # it does make a difference


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_variables_slots_and_what_is_served_stay_float32(trained, kind):
    run, _ = trained[kind]
    slots = [slot for group in run.optimizer.slots for slot in group]
    assert {variable.dtype for variable in [*run.model.variables, *slots]} == {tf.float32}
    sessions = tf.constant([[2, 3, 4, 5], [7, 8, 0, 0]])
    wide = Recommender.from_config({**run.model.get_config(), "precision": "float32"})
    wide.build()
    wide.set_weights(run.model.get_weights())
    np.testing.assert_array_equal(run.model(sessions), wide(sessions))


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_the_layer_multiplies_in_the_type_and_its_gradients_are_those_of_float32_about(kind):
    layers = [GatedRecurrent(5, precision=name) for name in ("float32", kind)]
    inputs = tf.random.stateless_normal([4, 3, 6], [1, 2])
    for layer in layers:
        layer.build(inputs.shape)
    layers[1].set_weights(layers[0].get_weights())
    found = []
    for layer in layers:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            states = layer(inputs, training=True)
            value = tf.reduce_sum(states * tf.random.stateless_normal(states.shape, [3, 4]))
        found.append([states, *tape.gradient(value, [inputs, *layer.trainable_variables])])
    for wide, narrow in zip(*found, strict=True):
        assert narrow.dtype == tf.float32
        np.testing.assert_allclose(narrow, wide, atol=0.05 * np.abs(wide).max())
        assert (narrow.numpy() != wide.numpy()).any()


def test_a_step_with_an_infinite_gradient_changes_nothing_and_is_counted():
    run = steps_of("float16", loss="softmax")
    batch = tf.range(20)
    start = run.loss_scale.scale.numpy()
    run._step(batch)
    assert (run.loss_scale.skipped_steps.numpy(), run.optimizer.step.numpy()) == (0, 1)
    changing = [*run.model.variables, *(slot for slots in run.optimizer.slots for slot in slots)]
    before = [value.numpy() for value in changing]
    run.loss_scale.scale.assign(3e38)
    loss, _ = run._step(batch)
    assert np.isfinite(loss)
    assert all((old == value.numpy()).all() for old, value in zip(before, changing, strict=True))
    assert (run.loss_scale.skipped_steps.numpy(), run.optimizer.step.numpy()) == (1, 1)
    assert run.loss_scale.scale.numpy() == pytest.approx(1.5e38)
    run.loss_scale.scale.assign(start)
    run._step(batch)
    assert run.optimizer.step.numpy() == 2


def test_the_scale_halves_on_an_infinite_step_and_doubles_after_2000_finite_ones():
    scale, taken = LossScale(), []
    scale.apply([tf.constant([1.0, float("inf")]), None], taken.append)
    assert (scale.scale.numpy(), taken) == (2.0**14, [])
    rows = tf.IndexedSlices(tf.constant([[2.0**14]]), tf.constant([3]))
    scale.apply([rows, None], taken.append)
    assert taken[0][0].values.numpy().tolist() == [[1.0]]  # the gradient of the loss itself
    assert taken[0][1] is None
    scale.finite_steps.assign(1999)
    scale.apply([rows], taken.append)
    assert scale.scale.numpy() == 2.0**15
    scale.apply([tf.IndexedSlices(tf.constant([[float("nan")]]), tf.constant([3]))], taken.append)
    assert (scale.scale.numpy(), scale.finite_steps.numpy(), scale.skipped_steps.numpy()) == (2.0**14, 0, 2)


def test_each_epoch_says_how_many_of_its_steps_were_skipped(monkeypatch):
    monkeypatch.setattr(precision, "_FIRST_SCALE", 2.0**30)  # so large that the first steps overflow
    config = configuration.replace(config_of(precision="float16", epochs=2), {"model.dropout": 0.0})
    history = fit_epochs(config, TRAIN, ITEMS, 2, report=lambda _: None).history
    assert 5 < history[0].skipped_steps < 25
    assert history[1].skipped_steps == 0


def test_only_float16_scales_its_loss():
    assert steps_of("bfloat16").loss_scale is None
    assert steps_of("float32").loss_scale is None


def test_an_unknown_type_is_one_sentence_and_exit_2(tmp_path, capsys):
    assert cli.main(["run", "--data", "nowhere.csv", "--set", "training.precision=float8"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "training.precision must be one of auto, float32, float16, bfloat16, received 'float8'" in line
