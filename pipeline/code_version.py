"""Which code a run was made with: TFX's cache does not look at it, so its hash goes into every component's inputs."""

from __future__ import annotations

import hashlib
import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent


def code_sha256() -> str:
    """Hex digest of all code that components run: the source of `components/` and the configuration's."""
    digest = hashlib.sha256()
    files = [*sorted((_PACKAGE_ROOT / "components").rglob("*.py")), _PACKAGE_ROOT / "pipeline" / "config.py"]
    for file in files:
        digest.update(file.relative_to(_PACKAGE_ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def code_version() -> str:
    """Version of the package, with the commit where it runs from a checkout: "0.1.0+1a2b3c4d"."""
    version = metadata.version("nextclick")
    command = ["git", "-C", str(_PACKAGE_ROOT), "rev-parse", "--short=8", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}+{commit}"
