"""Without this, docs/data.md could leave out a format or a reason that the code has, or name one that it has not."""

from __future__ import annotations

import re
from pathlib import Path

from nextclick.components import readers

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
CODE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "components").glob("*.py"))


def _first_cells(heading: str) -> set[str]:
    """The names in the first column of the table below a line that begins so."""
    table = TEXT.split(heading, 1)[1].split("|---", 1)[1].split("\n\n", 1)[0]
    return {name for row in table.splitlines()[1:] for name in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])}


def test_every_format_has_its_line() -> None:
    assert _first_cells("## Formats") == {*readers.READERS, "columns"}


def test_every_reason_in_the_documents_is_one_of_the_code() -> None:
    named = _first_cells("Rejected rows") | _first_cells("Dropped events")
    assert {name for name in named if f'"{name}"' not in CODE} == set()


def test_every_reason_of_the_code_is_in_the_documents() -> None:
    patterns = (
        r"        return \"([a-z0-9]+_[a-z0-9_]+)\"\n",  # lines.screen
        r'\n +\("([a-z0-9_]+)", ',  # the checks of rows.accept
        r'Reject\.of\([^"\n]*"([a-z0-9_]+)"',
        r'_drop\([^"\n]*"([a-z0-9_]+)"',
        r'"events_dropped", "([a-z0-9_]+)"',
    )
    files = ("lines", "rows", "delimited", "json_lines", "filters", "ingest")
    code = "\n".join((ROOT / "components" / f"{name}.py").read_text(encoding="utf-8") for name in files)
    reasons = {reason for pattern in patterns for reason in re.findall(pattern, code)}
    assert len(reasons) > 20
    assert reasons - (_first_cells("Rejected rows") | _first_cells("Dropped events")) == set()
