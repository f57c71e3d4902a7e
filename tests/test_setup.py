"""`make setup`. Without it a fresh machine gets the wrong versions, or a stack trace instead of a sentence."""

import json
import os
import re
import stat
import sys
from pathlib import Path

import install
import interpreters
import pytest
from interpreters import Interpreter, SetupError


def linux(version: str, glibc: tuple[int, int] | None = (2, 36), architecture: str = "x86_64") -> Interpreter:
    return Interpreter(f"/bin/python{version}", version, "Linux", architecture, glibc)


def mac(version: str, architecture: str = "arm64") -> Interpreter:
    return Interpreter(f"/bin/python{version}", version, "Darwin", architecture, None)


def chosen(found: list[Interpreter], forced: str = "", here: Interpreter | None = None) -> tuple[str, str]:
    """Name of the set and version of the Python chosen among these."""
    wanted, python = interpreters.choose(
        lambda version: [one for one in found if one.version == version], forced, here or found[0]
    )
    return wanted.name, python.version


# --- which set ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([linux("3.10")], ("1.16", "3.10")),
        ([linux("3.10", (2, 28))], ("1.16", "3.10")),
        ([linux("3.13", (2, 36)), linux("3.10", (2, 36))], ("1.16", "3.10")),
        ([linux("3.12", (2, 38)), linux("3.10", (2, 38))], ("1.16", "3.10")),
        ([linux("3.12", (2, 39)), linux("3.10", (2, 39))], ("1.21", "3.12")),
        ([linux("3.11", (2, 41)), linux("3.13", (2, 41))], ("1.21", "3.13")),
        ([linux("3.10", (2, 41)), linux("3.14", (2, 41))], ("1.16", "3.10")),
        ([linux("3.12", (2, 36)), linux("3.12", (2, 41))], ("1.21", "3.12")),
        ([mac("3.10"), mac("3.11")], ("1.21", "3.11")),
    ],
    ids=[
        "debian 12", "oldest glibc", "newer Pythons do not help an old glibc", "just too old", "just new enough",
        "the newest Python", "Python 3.14 is not for us yet", "a Python with a glibc of its own", "Apple silicon",
    ],
)  # fmt: skip
def test_newest_set_that_an_interpreter_can_run_is_chosen(found, expected):
    assert chosen(found) == expected


def test_forced_set_is_chosen_over_a_newer_one():
    both = [linux("3.12", (2, 39)), linux("3.10", (2, 39))]
    assert chosen(both, forced="1.16") == ("1.16", "3.10")
    assert chosen(both, forced="1.21") == ("1.21", "3.12")


@pytest.mark.parametrize(
    ("here", "forced", "sentence"),
    [
        (linux("3.9"), "", "No working Python 3.10 found on PATH, in pyenv or by uv (Linux on x86_64 with glibc 2.36): "
            "install one, for example with `uv python install 3.10`, and call `make setup` again."),
        (linux("3.9", (2, 40)), "", "No working Python 3.13 or 3.12 or 3.11 or 3.10 found on PATH, in pyenv or by uv "
            "(Linux on x86_64 with glibc 2.40): "
            "install one, for example with `uv python install 3.12`, and call `make setup` again."),
        (linux("3.10"), "1.21", "This machine (Linux on x86_64 with glibc 2.36) cannot run it: "
            "TFX 1.21 needs Linux on x86_64 with glibc 2.39 or newer or macOS on Apple silicon; "
            "unset NEXTCLICK_SET to let make setup choose."),
        (linux("3.10", (2, 27)), "", "This machine (Linux on x86_64 with glibc 2.27) cannot run it: "
            "TFX 1.21 needs Linux on x86_64 with glibc 2.39 or newer or macOS on Apple silicon; "
            "TFX 1.16 needs Linux on x86_64 with glibc 2.28 or newer; use such a machine or a container."),
        (linux("3.10", None), "1.16", "This machine (Linux on x86_64) cannot run it: "
            "TFX 1.16 needs Linux on x86_64 with glibc 2.28 or newer; unset NEXTCLICK_SET to let make setup choose."),
        (linux("3.12", (2, 41), "aarch64"), "1.16", "This machine (Linux on aarch64 with glibc 2.41) cannot run it: "
            "TFX 1.16 needs Linux on x86_64 with glibc 2.28 or newer; unset NEXTCLICK_SET to let make setup choose."),
        (mac("3.12", "x86_64"), "1.21", "This machine (Darwin on x86_64) cannot run it: "
            "TFX 1.21 needs Linux on x86_64 with glibc 2.39 or newer or macOS on Apple silicon; "
            "unset NEXTCLICK_SET to let make setup choose."),
        (linux("3.10"), "1.17", "NEXTCLICK_SET must be 1.21 or 1.16, received '1.17'."),
    ],
    ids=["no Python", "no Python of many", "forced on an old glibc", "too old", "musl", "ARM", "Intel Mac", "unknown"],
)  # fmt: skip
def test_machine_that_fits_no_set_is_told_so_in_one_sentence(here, forced, sentence):
    with pytest.raises(SetupError, match=f"^{re.escape(sentence)}$"):
        chosen([here], forced, here)


# --- which interpreter -------------------------------------------------------------------------------------------


def script(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_candidates_come_from_path_then_pyenv_newest_first_then_uv(tmp_path):
    for patch in ("3.10.9", "3.10.13", "3.11.2"):
        script(tmp_path / "pyenv" / "versions" / patch / "bin" / f"python{patch[:4]}", "")
    uv = script(tmp_path / "uv", 'echo "/found/by/uv for $6"')
    environment = {"PATH": f"/a:{tmp_path}", "PYENV_ROOT": str(tmp_path / "pyenv")}
    assert list(interpreters.candidates("3.10", environment, str(uv))) == [
        "/a/python3.10",
        f"{tmp_path}/python3.10",
        f"{tmp_path}/pyenv/versions/3.10.13/bin/python3.10",
        f"{tmp_path}/pyenv/versions/3.10.9/bin/python3.10",
        "/found/by/uv for 3.10",
    ]


def test_uv_that_finds_nothing_adds_no_candidate(tmp_path):
    uv = script(tmp_path / "uv", "echo no interpreter; exit 2")
    assert list(interpreters.candidates("3.10", {"PATH": "", "HOME": str(tmp_path)}, str(uv))) == []


def test_shim_that_does_not_work_is_passed_over(tmp_path):
    shim = script(tmp_path / "python3.10", 'echo "pyenv: python3.10: command not found" >&2; exit 127')
    assert interpreters.probe(str(shim)) is None
    assert interpreters.probe(str(tmp_path / "nowhere")) is None
    assert interpreters.probe(str(script(tmp_path / "chatty", "echo hello"))) is None


def test_interpreter_behind_a_virtual_environment_is_found():
    found = interpreters.probe(sys.executable)
    assert found is not None
    assert found.version == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert Path(found.path).is_relative_to(sys.base_prefix)
    assert found.system in ("Linux", "Darwin")


def test_uv_must_start_and_be_new_enough(tmp_path):
    assert interpreters.find_uv(str(script(tmp_path / "new", "echo 'uv 0.13.9 (x86_64)'"))) == str(tmp_path / "new")
    assert interpreters.find_uv(str(script(tmp_path / "first", "echo uv 0.5.0"))) == str(tmp_path / "first")
    assert interpreters.find_uv(str(script(tmp_path / "old", "echo uv 0.4.30"))) is None
    assert interpreters.find_uv(str(script(tmp_path / "shim", "exit 127"))) is None


# --- what is done ------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with all that the installer looks at, and a finished `.venv`; returns it with the stamp's values."""
    for name in ("tfx-1.16.txt", "dev-1.16.txt", "tfx-1.21.txt", "dev-1.21.txt"):
        path = tmp_path / "requirements" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name}==1")
    (tmp_path / "setup.py").write_text("setup()")
    (tmp_path / ".venv").mkdir()
    for name, path in {"ROOT": tmp_path, "VENV": tmp_path / ".venv", "STAMP": tmp_path / ".venv" / "stamp"}.items():
        monkeypatch.setattr(install, name, path)
    files = [tmp_path / "requirements" / "tfx-1.16.txt", tmp_path / "requirements" / "dev-1.16.txt"]
    stamp = {"set": "1.16", "interpreter": sys.executable, "requirements": install.digest(*files)}
    install.STAMP.write_text(json.dumps({**stamp, "project": install.digest(tmp_path / "setup.py")}))
    return tmp_path, stamp


def test_second_call_does_nothing_but_repair_the_link(checkout, capsys):
    root, _ = checkout
    install.set_up("")
    assert "is up to date (TFX 1.16" in capsys.readouterr().err
    assert os.readlink(root / ".mypy_root" / "nextclick") == ".."
    install.set_up("1.16")
    assert "is up to date (TFX 1.16" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tfx-1.16.txt", "dev-1.16.txt"])
def test_changed_requirements_are_noticed(checkout, name):
    root, stamp = checkout
    assert install.is_current(stamp, "")
    (root / "requirements" / name).write_text("other==2")
    assert not install.is_current(stamp, "")


def test_other_set_lost_interpreter_and_missing_stamp_are_noticed(checkout):
    root, stamp = checkout
    assert not install.is_current(stamp, "1.21")
    assert not install.is_current({**stamp, "interpreter": str(root / "gone")}, "")
    assert not install.is_current({}, "")


def test_requirements_of_the_other_set_do_not_matter(checkout):
    root, stamp = checkout
    (root / "requirements" / "tfx-1.21.txt").write_text("other==2")
    assert install.is_current(stamp, "")


def test_impossible_choice_ends_with_2_and_one_line(monkeypatch, capsys):
    monkeypatch.setenv("NEXTCLICK_SET", "0.1")
    monkeypatch.setattr(install, "STAMP", Path("/nonexistent"))
    assert install.main() == 2
    assert capsys.readouterr().err == "setup: NEXTCLICK_SET must be 1.21 or 1.16, received '0.1'.\n"
