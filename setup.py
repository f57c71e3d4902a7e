"""Installs the folders of this repository as `nextclick.*`.

The packages are mapped one by one: bare top-level packages called `kubeflow` or `schema` would clash with public ones.
What is required stands in `requirements/*.in`, one file a set of versions; the hash-pinned locks beside them are what
`make setup` and the image install.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
FOLDERS = [
    "pipeline",
    "pipeline/commands",
    "pipeline/benchmarks",
    "pipeline/page",
    "components",
    "schema",
    "serving",
    "kubeflow",
]
SETS = {"tfx-1.16": 'python_version < "3.11"', "tfx-1.21": 'python_version >= "3.11"'}


def requirements(name: str, marker: str = "") -> dict[str, list[str]]:
    """The lines of a requirements file by the extra they belong to: "" until the first `# [extra]`."""
    found: dict[str, list[str]] = {"": []}
    extra = ""
    for line in (ROOT / "requirements" / f"{name}.in").read_text().splitlines():
        if line.startswith("# ["):
            extra = line.strip("# []")
        elif line and not line.startswith("#"):
            found.setdefault(extra, []).append(f"{line} ; {marker}" if marker else line)
    return found


def extras() -> dict[str, list[str]]:
    """All requirements by extra; "" is what every command needs."""
    found = {"dev": requirements("dev")[""]}
    for name, marker in SETS.items():
        for extra, lines in requirements(name, marker).items():
            found.setdefault(extra, []).extend(lines)
    return found


EXTRAS = extras()

setup(
    name="nextclick",
    version="0.1.0",
    description="A TFX pipeline that learns from click sessions and predicts the next click over gRPC",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    install_requires=EXTRAS.pop(""),
    extras_require=EXTRAS,
    packages=["nextclick." + folder.replace("/", ".") for folder in FOLDERS],
    package_dir={"nextclick." + folder.replace("/", "."): folder for folder in FOLDERS},
    package_data={
        "nextclick.pipeline": ["data/*"],
        "nextclick.pipeline.page": ["*.css", "*.html", "*.js", "vendor/*"],
        "nextclick.schema": ["*.pbtxt", "*.md"],
        "nextclick.serving": ["config/*", "playground/*"],
    },
    entry_points={"console_scripts": ["nextclick=nextclick.pipeline.cli:main"]},
)
