"""Without this, a misspelt key or a text of the wrong type could be ignored in silence."""

import pytest

from nextclick.pipeline import config, overrides, presets
from nextclick.pipeline.errors import ConfigError


def test_set_parses_each_type():
    effective = overrides.load(
        None,
        ["seed=7", "model.dropout=0.5", "training.warm_start=true", "data.event_types=view, cart", "data.format=plain"],
    )
    assert (effective.seed, effective.model.dropout, effective.training.warm_start) == (7, 0.5, True)
    assert (effective.data.event_types, effective.data.format) == (("view", "cart"), "plain")


def test_last_assignment_wins_over_file_and_file_over_preset(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('preset = "quick"\nseed = 5\n[training]\nepochs = 3\nbatch_size = 64\n', encoding="utf-8")
    effective = overrides.load(str(file), ["training.epochs=4"])
    assert (effective.seed, effective.training.epochs, effective.training.batch_size) == (5, 4, 64)
    assert effective.model == presets.QUICK.model


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_shown_configuration_reads_back_equal(name, tmp_path):
    file = tmp_path / "shown.toml"
    changed = overrides.with_paths(presets.PRESETS[name], ['a "quoted", path.csv', "ü"])
    file.write_text(overrides.to_toml(changed), encoding="utf-8")
    assert overrides.load(str(file)) == changed


def test_every_key_is_shown_with_its_meaning():
    text = overrides.to_toml(presets.DEFAULT)
    for entry in config.settings().values():
        assert f"\n{entry.key.rpartition('.')[2]} = " in "\n" + text
        assert entry.meaning in text


@pytest.mark.parametrize(
    ("source", "assignments", "sentence"),
    [
        (None, ["modle.dropout=1"], "there is no setting 'modle.dropout'; did you mean model.dropout?"),
        (None, ["training.epochs=many"], "training.epochs must be a whole number, received 'many'"),
        (None, ["training.warm_start=maybe"], "training.warm_start must be true or false"),
        (None, ["seed"], "--set takes section.key=value, received 'seed'"),
        ("quik", [], "did you mean quick"),
        ("missing.toml", [], "missing.toml does not exist"),
    ],
)
def test_wrong_input_is_one_sentence(source, assignments, sentence):
    with pytest.raises(ConfigError) as caught:
        overrides.load(source, assignments)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed = = 3", "cannot be read as TOML"),
        ('preset = "fast"', "preset must be one of"),
        ("[training]\nepoch = 3", "did you mean training.epochs?"),
        ("[training]\nepochs = 3.5", "training.epochs must be a whole number"),
    ],
)
def test_wrong_file_is_one_sentence(tmp_path, text, sentence):
    file = tmp_path / "wrong.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence.replace("?", r"\?")):
        overrides.load(str(file))
