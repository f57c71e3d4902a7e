"""Makes `.venv`: the newest set of versions that this machine can run, hash-checked, and nextclick on top.

    python3 requirements/install.py              what `make setup` runs
    NEXTCLICK_SET=1.16 make setup                 one set, or an error

A second call returns at once while the requirement files and setup.py stay the same. Runs on any
Python from 3.8 on, standard library only: nothing is installed yet when it starts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, Mapping

from interpreters import SETS, Interpreter, RequirementSet, SetupError, candidates, choose, find_uv, probe

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
STAMP = VENV / "nextclick-setup.json"


def digest(*files: Path) -> str:
    """One SHA-256 over the contents of the files, in order."""
    found = hashlib.sha256()
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def is_current(stamp: Mapping[str, str], forced: str) -> bool:
    """Whether the `.venv` with that stamp holds what would be installed now, nextclick's own entry points aside."""
    found = [wanted for wanted in SETS if wanted.name == stamp.get("set") and forced in ("", wanted.name)]
    return (
        bool(found)
        and Path(stamp.get("interpreter", "")).exists()
        and stamp.get("requirements") == digest(*found[0].files(ROOT))
    )


def install_requirements(wanted: RequirementSet, interpreter: Interpreter, uv: str | None) -> None:
    """Makes `.venv` anew and installs the set into it."""
    say(f"making .venv with Python {interpreter.version} ({interpreter.path})")
    shutil.rmtree(VENV, ignore_errors=True)
    run([interpreter.path, "-m", "venv", *(["--without-pip"] if uv else []), str(VENV)])
    uv = uv or _uv_by_pip()
    say(f"installing TFX {wanted.name} and tools with {'uv: about a minute' if uv else 'pip: some minutes'}")
    requirements = [part for file in wanted.files(ROOT) for part in ("-r", str(file))]
    # The lock is complete, so that nothing is resolved. Without bytecode the first import takes half a minute more.
    # uv builds what has no wheel with the locked setuptools.
    options = ["--compile-bytecode", "--build-constraints", str(wanted.files(ROOT)[0])] if uv else ["--compile"]
    run([*_tool(uv), "--no-deps", "--require-hashes", *options, *requirements])


def install_nextclick(uv: str | None) -> None:
    """Installs this repository, editable; builds with what `.venv` holds, so that nothing is fetched."""
    say("installing nextclick, editable")
    run([*_tool(uv or find_uv(str(BIN / "uv"))), "--no-deps", "--no-build-isolation", "-e", str(ROOT)])


def _tool(uv: str | None) -> list[str]:
    python = str(BIN / "python")
    return [uv, "pip", "install", "-q", "--python", python] if uv else [python, "-m", "pip", "install", "-q"]


def _uv_by_pip() -> str | None:
    """Fetches uv into `.venv` with pip; None where it cannot be had."""
    say("no uv on PATH: fetching it with pip")
    lock = str(ROOT / "requirements" / "uv.txt")
    command = [str(BIN / "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", lock]
    done = subprocess.run(command, check=False)
    return find_uv(str(BIN / "uv")) if done.returncode == 0 else None


def run(command: list[str]) -> None:
    """Runs one step; its own output explains a failure. Raises SetupError."""
    done = subprocess.run(command, cwd=str(ROOT), check=False)
    if done.returncode:
        raise SetupError(f"`{' '.join(command)}` ended with exit code {done.returncode}: its output above says why.")


def link_for_mypy() -> None:
    """`.mypy_root/nextclick` -> repository: mypy and editors then see the names under which we are installed."""
    link = ROOT / ".mypy_root" / "nextclick"
    if not link.is_symlink():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to("..")


def say(text: str) -> None:
    """Progress goes to stderr."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def set_up(forced: str) -> None:
    """Brings `.venv` up to date. Raises SetupError with the one sentence that says why it cannot."""
    link_for_mypy()
    stamp = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    project = digest(ROOT / "setup.py")
    if is_current(stamp, forced) and stamp.get("project") == project:
        say(f".venv is up to date (TFX {stamp['set']}, {stamp['interpreter']})")
        return
    started, uv = time.monotonic(), find_uv()
    if not is_current(stamp, forced):
        wanted, python = _choose(forced, uv)
        install_requirements(wanted, python, uv)
        requirements = digest(*wanted.files(ROOT))
        stamp = {"set": wanted.name, "interpreter": python.path, "requirements": requirements}
    install_nextclick(uv)
    STAMP.write_text(json.dumps({**stamp, "project": project}) + "\n")
    say(f"done in {time.monotonic() - started:.0f} s")


def _choose(forced: str, uv: str | None) -> tuple[RequirementSet, Interpreter]:
    here = probe(sys.executable)
    assert here, "the Python that runs this answers"

    def find(version: str) -> Iterator[Interpreter]:
        return filter(None, map(probe, candidates(version, os.environ, uv)))

    return choose(find, forced, here)


def main() -> int:
    """0, or 2 with one sentence on stderr."""
    try:
        set_up(os.environ.get("NEXTCLICK_SET", ""))
    except SetupError as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
