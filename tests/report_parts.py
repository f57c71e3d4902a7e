"""A realistic metrics.json (synthetic figures) and a reader of the report's HTML, for the tests of the report."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent / "data" / "metrics_example.json"
VOID = {"meta", "link", "br", "img", "input"}


def example() -> dict[str, Any]:
    """A fresh copy of the example."""
    return json.loads(EXAMPLE.read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What a report holds: `tags` in order, `tables` by caption (lists of cell texts), `text` of the body."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self._caption: str | None = None
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        self.unbalanced += self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables[self._caption or ""].append([])
        if tag in ("td", "th"):
            self.tables[self._caption or ""][-1].append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)
        if tag == "caption":
            self.tables[self._caption or ""] = []

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "caption":
            self._caption = (self._caption or "") + data
        elif inside == "script":
            self.scripts[-1] += data
        elif inside != "style":
            self.text += data
            if {"td", "th"} & set(self.open[-2:]):
                self.tables[self._caption or ""][-1][-1] += data

    def attributes(self, name: str) -> list[str]:
        """Values of an attribute, in order."""
        return [found[name] or "" for _, found in self.tags if name in found]

    def rows(self, caption: str) -> list[list[str]]:
        """A table without its head."""
        return self.tables[caption][1:]
