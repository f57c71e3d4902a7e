"""The facts of an evaluation: with a wrong catalogue every figure about the recommended lists is worthless."""

import numpy as np

from nextclick.components import evaluation_facts, metrics


def test_facts_survive_their_file(tmp_path):
    facts = evaluation_facts.Facts(
        catalogue=metrics.Catalogue(3, np.array([5, 2], np.int64)),
        event_types=("click", "käuf"),
        data={"a/b": 0.25},
        item_ids=("one", "zwei ü"),
        tables=({"feature": "length", "bins": ["1"], "train": [1.0], "test": [0.5]},),
        predictions=7,
        baseline_lists={"popular/coverage@20": 0.5},
    )
    evaluation_facts.write(facts, str(tmp_path / "facts"))
    found = evaluation_facts.read(str(tmp_path / "facts"))
    assert (found.catalogue.first_index, found.catalogue.clicks.tolist()) == (3, [5, 2])
    assert found.event_types == ("click", "käuf")
    assert found.data == {"a/b": 0.25}
    assert found.item_ids == ("one", "zwei ü")
    assert found.tables == facts.tables
    assert (found.predictions, found.baseline_lists) == (7, {"popular/coverage@20": 0.5})
