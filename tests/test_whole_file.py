"""Files that appear whole or not at all. Without it a worker that fails could leave half a shard to be trained on."""

import os

import pytest

from nextclick.components import whole_file


def test_file_has_its_name_only_when_the_block_has_ended(tmp_path):
    path = tmp_path / "split" / "part.gz"
    with whole_file.written(str(path), str(tmp_path / "aside")) as unfinished:
        with open(unfinished, "w") as stream:
            stream.write("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert os.listdir(tmp_path / "aside") == []


def write_half(path, temporary_folder):
    with whole_file.written(path, temporary_folder) as unfinished, open(unfinished, "w") as stream:
        stream.write("half of i")
        raise OSError


def test_block_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "part.gz"
    path.write_text("of an earlier attempt")
    with pytest.raises(OSError):
        write_half(str(path), str(tmp_path / "aside"))
    assert path.read_text() == "of an earlier attempt"


def test_second_attempt_replaces_the_first(tmp_path):
    path = tmp_path / "part.gz"
    for attempt in ("first", "second"):
        with whole_file.written(str(path), str(tmp_path)) as unfinished, open(unfinished, "w") as stream:
            stream.write(attempt)
    assert path.read_text() == "second"
