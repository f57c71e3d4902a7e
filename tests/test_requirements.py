"""The pinned requirements. Without it a lock goes stale, loses a hash, or names the registry of one machine."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "tfx-1.16": ("tfx-1.16.in", "3.10", "linux"),
    "dev-1.16": ("dev.in", "3.10", "linux"),
    "tfx-1.21": ("tfx-1.21.in", "3.13", "linux"),
    "dev-1.21": ("dev.in", "3.13", "darwin"),
    "uv": ("uv.in", "3.10", "linux"),
}


def locked(name: str) -> dict[str, list[tuple[Requirement, int]]]:
    """Requirements of a lock by name, with the number of hashes of each; a name may stand once for each Python."""
    found: dict[str, list[tuple[Requirement, int]]] = {}
    for entry in re.split(r"\n(?=[a-zA-Z0-9])", (ROOT / "requirements" / f"{name}.txt").read_text()):
        requirement = Requirement(entry.split("\\\n")[0].strip())
        hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)
        found.setdefault(requirement.name, []).append((requirement, len(hashes)))
    return found


def wanted(file: str) -> list[Requirement]:
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_one_version_and_a_hash(lock):
    entries = [entry for entries in locked(lock).values() for entry in entries]
    assert entries
    for requirement, hashes in entries:
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert not requirement.url, requirement
        assert hashes > 0, requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_satisfies_what_it_was_made_from(lock):
    file, python, system = LOCKS[lock]
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": system}
    found = locked(lock)
    for requirement in wanted(file):
        versions = [
            next(iter(entry.specifier)).version
            for entry, _ in found[requirement.name]
            if not entry.marker or entry.marker.evaluate(environment)
        ]
        assert len(versions) == 1, requirement
        assert Version(versions[0]) in requirement.specifier, requirement


@pytest.mark.parametrize("name", ["1.16", "1.21"])
def test_developers_tools_fit_the_set_they_are_installed_upon(name):
    base, tools = locked(f"tfx-{name}"), locked(f"dev-{name}")
    for common in base.keys() & tools.keys():
        assert {str(entry.specifier) for entry, _ in base[common]} == {
            str(entry.specifier) for entry, _ in tools[common]
        }, common


def test_installed_packages_are_the_locked_ones():
    name = ".".join(importlib.metadata.version("tfx").split(".")[:2])
    for lock in (f"tfx-{name}", f"dev-{name}"):
        for requirement, _ in (entry for entries in locked(lock).values() for entry in entries):
            if not requirement.marker or requirement.marker.evaluate():
                assert importlib.metadata.version(requirement.name) in requirement.specifier


def test_installed_packages_fit_together():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_tracked_file_names_a_package_registry():
    # Put together here, so that this file does not name them either.
    hosts = [
        "py" + "pi.org",
        "python" + "hosted",
        "npm" + "js",
        "repo1.ma" + "ven",
        "--" + "index-url",
        "--" + "find-links /",
    ]
    pattern = "|".join(map(re.escape, [*hosts, "--extra-" + "index-url"]))
    allowed = "--no-emit-"  # the lock verb names the options that keep such lines away
    found = subprocess.run(
        ["git", "grep", "-InE", pattern], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    assert not [line for line in found.splitlines() if allowed not in line]
