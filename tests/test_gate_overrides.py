"""What loosens the gate: if one way were missed, a model could be let out without anybody being told."""

import pytest

from nextclick.pipeline import gate_overrides
from nextclick.pipeline.config import Config, replace


def test_the_defaults_loosen_nothing():
    assert gate_overrides.overrides(Config()) == []


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("gate.enabled", False, "gate.enabled=false instead of true"),
        ("gate.compare_served", False, "gate.compare_served=false instead of true"),
        ("gate.check_serving", False, "gate.check_serving=false instead of true"),
        ("gate.min_recall", 0.0, "gate.min_recall=0 instead of 0.01"),
        ("gate.max_drift", 0.9, "gate.max_drift=0.9 instead of 0.3"),
        ("gate.min_predictions", 1, "gate.min_predictions=1 instead of 20"),
        (
            "gate.baselines",
            ("popular",),
            "gate.baselines=popular instead of popular,popular_recent,last_viewed,item_to_item,session_knn",
        ),
        (
            "gate.baselines",
            (),
            "gate.baselines=none instead of popular,popular_recent,last_viewed,item_to_item,session_knn",
        ),
    ],
)
def test_looser_settings_are_named_with_their_defaults(key, value, text):
    assert gate_overrides.overrides(replace(Config(), {key: value})) == [text]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gate.min_recall", 0.1),
        ("gate.max_drift", 0.1),
        ("gate.baselines", ("session_knn", "popular", "popular_recent", "last_viewed", "item_to_item")),
        ("training.epochs", 1),
    ],
)
def test_stricter_settings_and_other_sections_are_not(key, value):
    assert gate_overrides.overrides(replace(Config(), {key: value})) == []
