"""Which set of versions this machine can run, and with which of its Pythons.

Runs on any Python from 3.8 on, standard library only: nothing is installed yet when `make setup` asks.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Iterable, Iterator, Mapping

OLDEST_UV = (0, 5)  # the first series with all options that we use


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
# Behind a virtual environment, which may be the one that is about to be replaced, stands the Python it was made of.
PROBE = """
import json, os, platform, sys
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (AttributeError, ValueError, OSError):
    libc = None
version = "%d.%d" % sys.version_info[:2]
base = os.path.join(sys.base_prefix, "bin", "python" + version)
path = base if os.path.exists(base) else sys.executable
if sys.implementation.name == "cpython":
    print(json.dumps([path, version, platform.system(), platform.machine(), libc]))
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
        found, version, system, architecture, libc = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    numbers = re.fullmatch(r"glibc (\d+)\.(\d+).*", libc or "")
    glibc = (int(numbers[1]), int(numbers[2])) if numbers else None
    return Interpreter(found, version, system, architecture, glibc)


def candidates(version: str, environment: Mapping[str, str], uv: str | None) -> Iterator[str]:
    """Paths that may be a Python of that version: on PATH, among pyenv's, what uv knows."""
    for folder in filter(None, environment.get("PATH", "").split(os.pathsep)):
        yield str(Path(folder) / f"python{version}")
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
