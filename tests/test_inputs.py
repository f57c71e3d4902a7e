"""If these failed, a run would read other files than it was told, or answer new files from an old cache."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import log_files
import pytest

from nextclick.components import inputs
from nextclick.pipeline.config import DataConfig
from nextclick.pipeline.errors import DataError


def _names(*paths: Path | str) -> list[str]:
    return [file.name for file in inputs.expand_inputs([str(path) for path in paths])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.csv",
        "a.tsv.gz",
        "deep/c.csv",
        "_SUCCESS",
        ".hidden.csv",
        "_temporary/d.csv",
        "README.md",
        "w[1].csv",
    ):
        log_files.write(tmp_path / "logs" / name, "x\n")
    return tmp_path / "logs"


def test_folder_gives_its_data_files_by_name(folder: Path) -> None:
    assert _names(folder) == ["a.tsv.gz", "b.csv", "deep/c.csv", "w[1].csv"]
    assert _names(f"{folder}/") == _names(folder)


def test_glob_gives_what_it_matches_whatever_its_name(folder: Path) -> None:
    assert _names(folder / "*.md") == ["README.md"]


@pytest.mark.parametrize("pattern", ["{}*", "{}{{SPAN}}.csv"])
def test_glob_without_a_folder_matches_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    (tmp_path / "day-1.csv").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert [file.path for file in inputs.expand_inputs([pattern.format("day-")])] == ["day-1.csv"]


def test_file_name_with_brackets_is_a_file(folder: Path) -> None:
    assert _names(folder / "w[1].csv") == ["w[1].csv"]


def test_file_named_twice_is_read_once(folder: Path) -> None:
    assert _names(folder / "b.csv", folder / "*.csv", folder / "b.csv") == ["b.csv", "w[1].csv"]


def test_names_do_not_depend_on_where_the_folder_is(folder: Path) -> None:
    assert _names(folder / "b.csv", folder / "deep/c.csv") == ["b.csv", "deep/c.csv"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere.csv", "there is no file, folder or match for"),
        ("logs/*.parquet", "there is no file, folder or match for"),
        ("logs/empty", "holds no data file"),
        ("logs/_temporary/none", "there is no file"),
    ],
)
def test_nothing_found_is_one_sentence(folder: Path, path: str, said: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=said):
        inputs.expand_inputs([str(folder.parent / path)])


def test_unknown_file_system_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"foo://bar/clicks\.csv cannot be listed: .*filesystem"):
        inputs.expand_inputs(["foo://bar/clicks.csv"])


def test_test_log_is_taken_out_of_the_folder_it_lies_in(folder: Path) -> None:
    data = DataConfig(paths=(str(folder),), test_path=str(folder / "b.csv"))
    clicks, tests = inputs.find_inputs(data)
    assert [file.name for file in clicks] == ["a.tsv.gz", "deep/c.csv", "w[1].csv"]
    assert [file.name for file in tests] == ["b.csv"]


def test_test_log_alone_leaves_nothing_to_train_on(folder: Path) -> None:
    path = str(folder / "b.csv")
    with pytest.raises(DataError, match="name other training files"):
        inputs.find_inputs(DataConfig(paths=(path,), test_path=path))


def test_no_path_is_the_bundled_sample() -> None:
    clicks, tests = inputs.find_inputs(DataConfig())
    assert [file.name for file in clicks] == ["sample_clicks.csv.gz"]
    assert tests == []


def test_fingerprint_follows_content_names_and_roles(tmp_path: Path) -> None:
    def fingerprint(test: str = "") -> str:
        data = DataConfig(paths=(str(tmp_path / "*.csv"),), test_path=test and str(tmp_path / test))
        return inputs.fingerprint(*inputs.find_inputs(data))

    log_files.write(tmp_path / "a.csv", "one")
    log_files.write(tmp_path / "b.csv", "two")
    seen = [fingerprint(), fingerprint("b.csv")]
    assert fingerprint() == seen[0]
    log_files.write(tmp_path / "b.csv", "Two")
    seen.append(fingerprint())
    (tmp_path / "b.csv").rename(tmp_path / "c.csv")
    seen.append(fingerprint())
    log_files.write(tmp_path / "a.csv", "oneT")
    log_files.write(tmp_path / "c.csv", "wo")
    seen.append(fingerprint())
    assert len(set(seen)) == 5


def _chunks(path: Path) -> bytes:
    (file,) = inputs.expand_inputs([str(path)])
    return b"".join(inputs.read_chunks(file))


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 20])
def test_pieces_of_any_size_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(inputs, "CHUNK_BYTES", piece)
    monkeypatch.setattr(inputs, "_HEAD_BYTES", max(piece, 4))
    text = b"".join(b"%d," % (n * n) for n in range(300))
    members = gzip.compress(text) + gzip.compress(b"") + gzip.compress(b"end") + b"\0\0"
    assert _chunks(log_files.write(tmp_path / "plain", text)) == text
    assert _chunks(log_files.write(tmp_path / "zipped", members)) == text + b"end"


def test_small_file_that_unzips_to_much_comes_in_bounded_pieces(tmp_path: Path) -> None:
    squeezed = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = squeezed.compress(b"a" * 40_000_000) + squeezed.flush()
    (file,) = inputs.expand_inputs([str(log_files.write(tmp_path / "bomb", data))])
    assert max(len(chunk) for chunk in inputs.read_chunks(file)) <= inputs.CHUNK_BYTES


def test_every_cut_of_a_gzip_file_is_noticed(tmp_path: Path) -> None:
    whole = gzip.compress(b"some clicks and some more clicks")
    for length in range(2, len(whole)):
        path = log_files.write(tmp_path / "cut", whole[:length])
        with pytest.raises(inputs.TruncatedInputError):
            _chunks(path)


@pytest.fixture
def weeks(tmp_path: Path) -> Path:
    for name in ("week-8.csv", "week-9.csv", "week-10.csv", "week-11.csv", "week-x.csv", "week-12.csv.tmp"):
        log_files.write(tmp_path / name, "x\n")
    return tmp_path


@pytest.mark.parametrize(
    ("spans", "last", "expected"),
    [
        (0, -1, ["week-10.csv", "week-11.csv", "week-8.csv", "week-9.csv"]),
        (3, -1, ["week-10.csv", "week-11.csv", "week-9.csv"]),
        (1, 10, ["week-10.csv"]),
        (2, 9, ["week-8.csv", "week-9.csv"]),
        (0, 9, ["week-8.csv", "week-9.csv"]),
    ],
)
def test_window_of_spans(weeks: Path, spans: int, last: int, expected: list[str]) -> None:
    data = DataConfig(paths=(f"{weeks}/week-{{SPAN}}.csv",), spans=spans, last_span=last)
    assert [file.name for file in inputs.find_inputs(data)[0]] == expected


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("week-{SPAN}.csv", {"last_span": 12}, r"span 12 of .*week-\{SPAN\}\.csv is not there, the newest is 11"),
        ("week-{SPAN}.csv", {"spans": 5}, "has 4 spans up to 11: expected data.spans=5"),
        ("day-{SPAN}.csv", {}, "no file is called as"),
    ],
)
def test_missing_span_is_one_sentence(weeks: Path, name: str, data: dict[str, int], said: str) -> None:
    with pytest.raises(DataError, match=said):
        inputs.find_inputs(DataConfig(paths=(f"{weeks}/{name}",), **data))


def test_newest_version_of_each_span_is_read_whole(tmp_path: Path) -> None:
    for name in ("1/v1/a.csv", "1/v2/a.csv", "1/v2/b.csv", "2/v1/a.csv", "2/v10/1.csv", "2/v9/a.csv"):
        log_files.write(tmp_path / name, "x\n")
    found = inputs.expand_inputs([f"{tmp_path}/{{SPAN}}/v{{VERSION}}/*.csv"])
    assert [file.name for file in found] == ["1/v2/a.csv", "1/v2/b.csv", "2/v10/1.csv"]


def test_span_named_twice_is_one_number(tmp_path: Path) -> None:
    for name in ("1/clicks-1.csv", "1/clicks-2.csv", "2/clicks-2.csv"):
        log_files.write(tmp_path / name, "x\n")
    found = inputs.expand_inputs([f"{tmp_path}/{{SPAN}}/clicks-{{SPAN}}.csv"])
    assert [file.name for file in found] == ["1/clicks-1.csv", "2/clicks-2.csv"]


def test_empty_path_is_not_the_whole_machine() -> None:
    with pytest.raises(DataError, match="a path of the log is empty"):
        inputs.expand_inputs([""])
