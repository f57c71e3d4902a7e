"""The pipeline's image, as far as it can be checked without a Docker engine: its recipe, read line by line.

Without it the image may run as root, miss a folder or the schema, or run another Beam than the job that starts it.
"""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "kubeflow" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """The recipe as (instruction, arguments), continued lines joined, comments left out."""
    text = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#"))
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def of(name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions() if instruction == name]


def copied_from_context() -> list[str]:
    return [
        source
        for arguments in of("COPY")
        if not arguments.startswith("--from=")
        for source in shlex.split(arguments)[:-1]
    ]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path away: the last pattern that matches decides, a folder's covers its files."""
    answer = False
    for pattern in (ROOT / ".dockerignore").read_text().split("\n"):
        name = pattern.lstrip("!")
        if name == "*" or name.split("/")[0] == path.split("/")[0]:
            answer = not pattern.startswith("!")
    return answer


def test_containers_run_as_a_user_without_rights():
    user = [arguments for instruction, arguments in instructions() if instruction in ("USER", "FROM")][-1]
    assert re.fullmatch(r"[1-9]\d+", user), "a number: Kubernetes' runAsNonRoot cannot check a name"
    assert f"--uid {user} " in " ".join(of("RUN"))


def test_everything_that_is_copied_is_there_and_not_ignored():
    sources = copied_from_context()
    assert len(sources) > 8
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    assert ignored("nextclick-root") and ignored(".git") and ignored(".venv") and ignored("tests")


def test_every_package_is_copied(monkeypatch):
    monkeypatch.setattr(setuptools, "setup", lambda **_: None)
    folders = runpy.run_path(str(ROOT / "setup.py"))["FOLDERS"]
    assert {folder.split("/")[0] for folder in folders} <= set(copied_from_context())


def test_packages_are_checked_against_their_hashes():
    (command,) = [run for run in of("RUN") if "requirements/tfx-1.16.txt" in run]
    assert "--require-hashes" in command
    assert "--no-deps" in command
    assert all("--no-index" in run for run in of("RUN") if "pip wheel" in run)


def test_python_is_the_one_of_the_lock():
    bases = list(of("FROM"))
    assert len(bases) == 2
    for base in bases:
        assert base.startswith("python:3.10-slim-bookworm${BASE_DIGEST}")  # glibc 2.36
    assert of("ARG") == ['BASE_DIGEST=""']


def test_beam_s_boot_program_is_of_the_locked_version():
    (image,) = re.findall(r"--from=apache/beam_python3.10_sdk:(\S+) ", " ".join(of("COPY")))
    assert f"\napache-beam=={image} " in (ROOT / "requirements" / "tfx-1.16.txt").read_text()
    assert of("ENTRYPOINT") == ['["/opt/apache/beam/boot"]']


def test_images_come_from_the_default_registry():
    images = [base.split()[0] for base in of("FROM")] + re.findall(r"--from=(\S+)", " ".join(of("COPY")))
    assert not [image for image in images if "." in image.split("/")[0] and "/" in image]


def test_schema_lies_where_compiled_pipelines_look_for_it():
    runner = (ROOT / "kubeflow" / "runner.py").read_text()
    (path,) = re.findall(r'^IMAGE_SCHEMA_PATH = "(.*)"$', runner, re.MULTILINE)
    assert f"schema/schema.pbtxt {path}" in of("COPY")


@pytest.mark.parametrize("setting", ["TF_USE_LEGACY_KERAS=1", "PATH=/opt/nextclick/venv/bin:$PATH"])
def test_every_process_gets_the_environment_it_needs(setting):
    assert setting in of("ENV")[-1].split()


def test_no_secret_is_baked_in():
    assert not re.search(r"(?i)password|secret|token|credential|api_?key", DOCKERFILE.read_text())
