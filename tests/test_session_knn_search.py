"""The search for the session kNN's settings: if it looked at the test split, the baseline would be flattered."""

import pipeline_runs as runs
import pytest

from nextclick.pipeline.benchmarks import session_knn as search


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    return runs.write_clicks(tmp_path_factory.mktemp("clicks") / "clicks.csv", sessions=120)


def test_the_search_predicts_the_validation_split_and_knows_none_of_the_later_clicks(clicks):
    log = search.read(str(clicks), None)
    starts = sorted({line.split(",")[0]: int(line.split(",")[2]) for line in reversed(lines(clicks))}.values())
    end = max(int(line.split(",")[2]) for line in lines(clicks))
    validation = [start for start in starts if end - 2 * runs.DAY < start <= end - runs.DAY]
    assert abs(len(log.asked) - len(validation)) <= 2  # sessions cut to one click are no predictions
    assert log.training.times_ms.max() < 1000 * (end - 2 * runs.DAY + 1)
    settings = search.Settings()
    recall, mrr = search.score(log, settings)
    assert 0.2 < mrr < recall <= 1  # item i is followed by item i + 1, of thirty
    assert len(set(search._likenesses())) == 8
    assert settings in set(search._reaches(settings))


def test_a_test_log_is_asked_with_everything_else_as_training(clicks, tmp_path):
    later = runs.write_clicks(tmp_path / "later.csv", sessions=10, seed=2)
    log = search.read(str(clicks), str(later))
    assert (len(log.training), len(log.asked)) == (120, 10)


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()[1:]
