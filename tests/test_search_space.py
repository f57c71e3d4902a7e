"""Search spaces: a misread range is searched in silence for hours."""

import pytest

from nextclick.components import search_space
from nextclick.components.search_space import Dimension
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError


def parse(*space, **settings):
    return search_space.parse(configuration.replace(Config(), {"tuning.space": tuple(space), **settings}))


def test_ranges_and_choices_have_the_setting_s_type():
    assert parse(
        "training.learning_rate=0.001..0.01:log",
        "model.dropout=0..0.5",
        "model.hidden_units=16..256",
        "training.optimizer=adam/adagrad",
        "training.batch_size=64/ 128",
        "model.normalize=true/false",
    ) == [
        Dimension("training.learning_rate", low=0.001, high=0.01, log=True),
        Dimension("model.dropout", low=0.0, high=0.5),
        Dimension("model.hidden_units", low=16, high=256, whole=True),
        Dimension("training.optimizer", choices=("adam", "adagrad")),
        Dimension("training.batch_size", choices=(64, 128)),
        Dimension("model.normalize", choices=(True, False)),
    ]


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("model.dropuot=0..0.5", "model and training"),
        ("gate.min_recall=0..1", "model and training"),
        ("model.dropout=0.5..0.1", "LOW below HIGH"),
        ("model.dropout=0..0.5:log", "above 0"),
        ("model.dropout=0.1..0.5:ln", "LOW below HIGH"),
        ("model.dropout=0.1..1.5", "at most 0.95"),
        ("model.layers=1..x", "section.key=A"),
        ("model.normalize=yes", "section.key=A"),
        ("training.optimizer=adam..sgd", "LOW below HIGH"),
        ("training.optimizer=adm", "must be one of"),
        ("model.dropout", "section.key=A"),
    ],
)
def test_a_wrong_entry_is_named(entry, word):
    with pytest.raises(ConfigError, match=word):
        parse(entry)


def test_an_empty_space_one_key_twice_and_no_training_are_refused():
    with pytest.raises(ConfigError, match="at least one"):
        parse()
    with pytest.raises(ConfigError, match="each once"):
        parse("model.layers=1/2", "model.layers=3")
    with pytest.raises(ConfigError, match="nothing to tune"):
        parse("model.layers=1/2", **{"training.epochs": 0})


def test_the_default_space_is_valid():
    assert len(search_space.parse(Config())) == 4
