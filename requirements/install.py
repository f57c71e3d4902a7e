"""Makes `.venv`: the newest set of versions that this machine can run, hash-checked, and nextclick on top.

    python3 requirements/install.py              what `make setup` runs
    NEXTCLICK_SET=1.16 make setup                 one set, or an error

A second call returns at once while the requirement files, setup.py and the interpreter stay the same. Runs on any
Python from 3.8 on, standard library only: nothing is installed yet when it starts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterable, Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "nextclick-setup.json"
OLDEST_UV = (0, 5)  # the first series with all options used here


class SetupError(Exception):
    """One sentence for the person at the terminal."""


@dataclasses.dataclass(frozen=True)
class RequirementSet:
    """A generation of TFX: `pythons` newest first; `glibc` is the oldest that its wheels load on."""

    name: str
    pythons: tuple[str, ...]
    glibc: tuple[int, int]
    macos: bool

    def files(self, root: Path) -> list[Path]:
        """The hash-pinned requirement files of the set: what nextclick needs, then what developers need."""
        return [root / "requirements" / f"{kind}-{self.name}.txt" for kind in ("tfx", "dev")]


SETS = (
    RequirementSet("1.21", ("3.13", "3.12", "3.11"), (2, 39), macos=True),
    RequirementSet("1.16", ("3.10",), (2, 28), macos=False),
)


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """A Python that was started and asked; `glibc` is None where it runs on another C library."""

    path: str
    version: str
    system: str
    architecture: str
    glibc: tuple[int, int] | None


# What an interpreter is asked. Its own C library counts, not the machine's: a Python can bring a newer one along.
PROBE = """
import json, os, platform, sys
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (AttributeError, ValueError, OSError):
    libc = None
if sys.implementation.name == "cpython":
    print(json.dumps(["%d.%d" % sys.version_info[:2], platform.system(), platform.machine(), libc]))
"""


def runs_on(wanted: RequirementSet, interpreter: Interpreter) -> bool:
    """Whether there are wheels of the set for this interpreter's platform; its version is another question."""
    if interpreter.system == "Darwin":
        return wanted.macos and interpreter.architecture == "arm64"
    glibc = interpreter.glibc or (0, 0)
    return interpreter.system == "Linux" and interpreter.architecture == "x86_64" and glibc >= wanted.glibc


def choose(
    find: Callable[[str], Iterable[Interpreter]], forced: str, here: Interpreter
) -> tuple[RequirementSet, Interpreter]:
    """The newest set that an interpreter of this machine can run, and that interpreter.

    `find` yields the interpreters of a version ("3.10"), best first; `forced` is NEXTCLICK_SET or ""; `here` tells
    what the machine is, for the error. Raises SetupError where nothing fits.
    """
    if forced and forced not in [wanted.name for wanted in SETS]:
        raise SetupError(f"NEXTCLICK_SET must be 1.21 or 1.16, received {forced!r}.")
    wanted_sets = [wanted for wanted in SETS if forced in ("", wanted.name)]
    for wanted in wanted_sets:
        for version in wanted.pythons:
            for interpreter in find(version):
                if interpreter.version == version and runs_on(wanted, interpreter):
                    return wanted, interpreter
    raise SetupError(_no_interpreter(wanted_sets, here, forced))


def _no_interpreter(wanted_sets: Iterable[RequirementSet], here: Interpreter, forced: str) -> str:
    """The sentence for a machine without a fitting interpreter: what it is, what is needed, what to do."""
    machine = f"{here.system} on {here.architecture}"
    if here.glibc:
        machine += " with glibc {}.{}".format(*here.glibc)
    possible = [wanted for wanted in wanted_sets if runs_on(wanted, here)]
    if possible:
        versions = " or ".join(version for wanted in possible for version in wanted.pythons)
        install = possible[0].pythons[min(1, len(possible[0].pythons) - 1)]
        return (
            f"No working Python {versions} found on PATH, in pyenv or by uv ({machine}): "
            f"install one, for example with `uv python install {install}`, and call `make setup` again."
        )
    needs = "; ".join(
        "TFX {} needs Linux on x86_64 with glibc {}.{} or newer{}".format(
            wanted.name, *wanted.glibc, " or macOS on Apple silicon" if wanted.macos else ""
        )
        for wanted in wanted_sets
    )
    hint = "unset NEXTCLICK_SET to let make setup choose" if forced else "use such a machine or a container"
    return f"This machine ({machine}) cannot run it: {needs}; {hint}."


def probe(path: str) -> Interpreter | None:
    """Starts a Python and asks what it is; None for what does not answer, such as a pyenv shim without a version."""
    try:
        done = subprocess.run([path, "-I", "-c", PROBE], capture_output=True, text=True, timeout=60, check=True)
        version, system, architecture, libc = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    numbers = re.fullmatch(r"glibc (\d+)\.(\d+).*", libc or "")
    glibc = (int(numbers[1]), int(numbers[2])) if numbers else None
    return Interpreter(path, version, system, architecture, glibc)


def candidates(version: str, environment: Mapping[str, str], uv: str | None) -> Iterator[str]:
    """Paths that may be a Python of that version: on PATH, among pyenv's versions, what uv knows."""
    for folder in environment.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, f"python{version}")
        if folder and os.access(path, os.X_OK) and VENV not in Path(path).parents:
            yield path
    pyenv = Path(environment.get("PYENV_ROOT") or Path(environment.get("HOME", "/")) / ".pyenv")
    installed = (pyenv / "versions").glob(f"{version}.*/bin/python{version}")
    yield from map(str, sorted(installed, key=lambda path: _numbers(path.parts[-3]), reverse=True))
    if uv:
        asked = [uv, "python", "find", "--no-project", "--system", "--no-python-downloads", version]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            yield done.stdout.strip()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def find_uv(path: str | None = None) -> str | None:
    """A uv on PATH (or the given one) that starts and is new enough, else None."""
    uv = path or shutil.which("uv")
    try:
        done = subprocess.run([uv or "", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return uv if tuple(_numbers(done.stdout)[:2]) >= OLDEST_UV else None


def digest(files: Iterable[Path]) -> str:
    """One SHA-256 over the contents of the files, in order."""
    found = hashlib.sha256()
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def up_to_date(stamp: Mapping[str, str], forced: str) -> bool:
    """Whether the `.venv` with that stamp is what an installation would make now."""
    found = [wanted for wanted in SETS if wanted.name == stamp.get("set") and forced in ("", wanted.name)]
    return (
        bool(found)
        and Path(stamp.get("interpreter", "")).exists()
        and (VENV / "bin" / "nextclick").exists()
        and stamp.get("sha256") == digest(_inputs(found[0]))
    )


def _inputs(wanted: RequirementSet) -> list[Path]:
    """The files that decide what `.venv` holds."""
    return [*wanted.files(ROOT), ROOT / "setup.py", Path(__file__).resolve()]


def install(wanted: RequirementSet, interpreter: Interpreter, uv: str | None) -> None:
    """Makes `.venv` anew and installs the set and nextclick into it."""
    say(f"making .venv with Python {interpreter.version} ({interpreter.path})")
    shutil.rmtree(VENV, ignore_errors=True)
    run([interpreter.path, "-m", "venv", *(["--without-pip"] if uv else []), str(VENV)])
    python = str(VENV / "bin" / "python")
    uv = uv or _uv_by_pip(python)
    tool = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install", "-q"]
    compile_bytecode = "--compile-bytecode" if uv else "--compile"  # else the first import takes half a minute
    requirements = [part for file in wanted.files(ROOT) for part in ("-r", str(file))]
    say(f"installing TFX {wanted.name} and the developers' tools with {'uv' if uv else 'pip (some minutes)'}")
    run([*tool, "--require-hashes", compile_bytecode, *_build_constraint(wanted, uv), *requirements])
    say("installing nextclick, editable")
    run([*tool, "--no-deps", "--no-build-isolation", "-e", str(ROOT)])


def _uv_by_pip(python: str) -> str | None:
    """Fetches uv into `.venv` with pip; None where it cannot be had."""
    say("no uv on PATH: fetching it with pip")
    command = [python, "-m", "pip", "install", "-q", "--require-hashes", "-r", str(ROOT / "requirements" / "uv.txt")]
    done = subprocess.run(command, check=False)
    return find_uv(str(VENV / "bin" / "uv")) if done.returncode == 0 else None


def _build_constraint(wanted: RequirementSet, uv: str | None) -> list[str]:
    """Packages without a wheel are built with the locked setuptools; pip before 25.3 builds with the newest one."""
    return ["--build-constraints", str(wanted.files(ROOT)[0])] if uv else []


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


def main() -> int:
    """Installs what is missing; 2 with one sentence on stderr where that is impossible."""
    started = time.monotonic()
    forced = os.environ.get("NEXTCLICK_SET", "")
    try:
        link_for_mypy()
        stamp = json.loads(STAMP.read_text()) if STAMP.exists() else {}
        if up_to_date(stamp, forced):
            say(f".venv is up to date (TFX {stamp['set']}, {stamp['interpreter']})")
            return 0
        uv = find_uv()
        here = probe(sys.executable)
        assert here, "the running interpreter answers"
        found = choose(lambda v: filter(None, map(probe, candidates(v, os.environ, uv))), forced, here)
        install(*found, uv)
        wanted, interpreter = found
        stamp = {"set": wanted.name, "interpreter": interpreter.path, "sha256": digest(_inputs(wanted))}
        STAMP.write_text(json.dumps(stamp) + "\n")
    except SetupError as error:
        say(str(error))
        return 2
    say(f"done in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
