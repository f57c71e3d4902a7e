"""The facts of an evaluation: a wrong catalogue or a drift that is not seen makes the gate's figures worthless."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.components import evaluation_facts, metrics

counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).map(np.array)


def test_divergence_of_nothing_in_common_is_one():
    assert evaluation_facts.divergence(np.array([4, 0]), np.array([0, 9])) == pytest.approx(1)


def test_divergence_of_equal_shares_is_zero():
    assert evaluation_facts.divergence(np.array([1, 3]), np.array([20, 60])) == pytest.approx(0)


def test_divergence_by_hand():
    # Shares (1/2, 1/2) and (1, 0), middle (3/4, 1/4), in bits.
    expected = (0.5 * np.log2(2 / 3) + 0.5 * np.log2(2) + np.log2(4 / 3)) / 2
    assert evaluation_facts.divergence(np.array([5, 5]), np.array([7, 0])) == pytest.approx(expected)


@given(counts, counts)
def test_divergence_is_symmetric_and_between_zero_and_one(one, other):
    found = evaluation_facts.divergence(one, other)
    assert found == pytest.approx(evaluation_facts.divergence(other, one))
    assert -1e-12 <= found <= 1 + 1e-12


def test_facts_survive_their_file(tmp_path):
    facts = evaluation_facts.Facts(metrics.Catalogue(3, np.array([5, 2], np.int64)), ("click", "käuf"), {"a/b": 0.25})
    evaluation_facts.write(facts, str(tmp_path / "facts"))
    found = evaluation_facts.read(str(tmp_path / "facts"))
    assert (found.catalogue.first_index, found.catalogue.clicks.tolist()) == (3, [5, 2])
    assert found.event_types == ("click", "käuf")
    assert found.data == {"a/b": 0.25}
