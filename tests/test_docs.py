"""Without this, the documents could name commands, settings or files that do not exist."""

import re
from pathlib import Path

import pytest

from nextclick.pipeline import cli, config
from nextclick.pipeline.settings_table import settings_table

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_table_of_settings_is_the_code_s():
    """`make docs` writes it."""
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == settings_table()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_settings_exist(document):
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"--set ['\"]?((?:[a-z_]+\.)?[a-z_]+)=", text)
    assert [key for key in named if key not in {*config.settings(), "section.key"}] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_commands_exist(document):
    named = re.findall(r"^\s*(?:\.venv/bin/)?nextclick ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in named if name not in cli.COMMANDS] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_make_verbs_exist(document):
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert [verb for verb in named if verb not in verbs] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []
