"""The wheel that goes into the image and to Beam's workers. Without it a module or a data file stays behind."""

import configparser
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel of the tracked files, installed without dependencies into a folder of its own."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip"]
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(target), str(source)]
    subprocess.run([*pip, *build], check=True, timeout=300)
    (wheel,) = target.glob("nextclick-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def test_wheel_holds_every_module_and_data_file(installed):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = ("pipeline/", "components/", "schema/", "serving/", "kubeflow/")
    modules = [name for name in tracked if name.startswith(folders) and name.endswith(".py")]
    assert len(modules) > 30
    for name in [*modules, "pipeline/data/sample_clicks.csv.gz", "schema/schema.pbtxt"]:
        assert (installed / "nextclick" / name).is_file(), name


def test_every_module_of_the_wheel_can_be_imported(installed):
    names = [
        ".".join(path.relative_to(installed).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((installed / "nextclick").rglob("*.py"))
    ]
    code = (
        "import importlib, sys\n"
        f"sys.path.insert(0, {str(installed)!r})\n"
        f"modules = [importlib.import_module(name) for name in {names!r}]\n"
        f"assert all(m.__file__.startswith({str(installed)!r}) for m in modules if m.__file__), modules\n"
        "print(len(modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(len(names)), done.stderr


def test_wheel_has_the_console_script_and_the_extras(installed):
    (info,) = installed.glob("nextclick-*.dist-info")
    entries = configparser.ConfigParser()
    entries.read(info / "entry_points.txt")
    assert dict(entries["console_scripts"]) == {"nextclick": "nextclick.pipeline.cli:main"}
    metadata = (info / "METADATA").read_text()
    assert set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.M)) >= {"dev", "gcp", "kubeflow"}
    assert 'Requires-Dist: tfx==1.16.0; python_version < "3.11"' in metadata
    assert 'Requires-Dist: tfx==1.21.0; python_version >= "3.11"' in metadata
