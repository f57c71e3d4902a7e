"""The verbs. Without it `make help` may hide one, or one may call a command that does not exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROMISED = {"help", "setup", "demo", "test", "lint", "format", "benchmark", "clean"}
VERBS = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()


def make(*arguments: str, cwd: Path = ROOT) -> str:
    # The tests may have been started by make: its flags and its level are not for this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("arguments", [(), ("help",)], ids=["make", "make help"])
def test_help_names_every_verb_with_its_purpose(arguments):
    listed = re.findall(r"^make ([a-z]+) +\S+", make(*arguments), re.MULTILINE)
    assert listed == VERBS
    assert set(listed) >= PROMISED


@pytest.mark.parametrize("verb", VERBS)
def test_verb_calls_files_and_commands_that_exist(verb):
    recipe = make("-n", verb)
    for command in re.findall(r"/nextclick ([a-z]+)", recipe):
        assert (ROOT / "pipeline" / "commands" / f"{command}.py").is_file(), command
    for file in re.findall(r"(?<![\w./-])(?:requirements|tests)/[\w.-]+\.(?:py|in)", recipe):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("help", "lock", "clean", "setup")])
def test_verb_works_from_a_fresh_clone_since_it_sets_up_first(verb):
    assert make("-n", verb).splitlines()[0] == "python3 requirements/install.py"


def test_arguments_reach_pytest_and_schema():
    assert ".venv/bin/pytest -n logical --maxprocesses 4 --dist loadfile -k metrics" in make(
        "-n", "test", "ARGS=-k metrics"
    )
    assert ".venv/bin/nextclick schema --data a.csv --data b.csv" in make("-n", "schema", "DATA=a.csv b.csv")
    assert "--upgrade" in make("-n", "lock", "UPGRADE=1")
    assert "--upgrade" not in make("-n", "lock")


def test_clean_removes_what_was_made_and_keeps_runs(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for folder in (".venv/bin", ".mypy_root", "build", "components/__pycache__", "nextclick-root", "pipeline/data"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("schema", "serving", "kubeflow", "tests", "requirements"):
        (tmp_path / folder).mkdir()
    make("clean", cwd=tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_dir()}
    assert left == {"components", "pipeline", "pipeline/data", "nextclick-root", "schema", "serving", "kubeflow",
                    "tests", "requirements"}  # fmt: skip


def test_ci_runs_the_test_verb():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-1] == "exec make test"
