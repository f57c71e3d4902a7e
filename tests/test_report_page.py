"""The report in a real headless Chromium: what a person would see broken, or a network would be asked for.

Skipped, with the reason printed, where no Chromium is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from report_parts import example

from nextclick.pipeline import report

pytestmark = pytest.mark.skipif(
    chromium.executable() is None,
    reason="no Chromium: install Debian's package chromium, or name one in NEXTCLICK_CHROMIUM",
)

PHONE_WIDTH = 360
# WCAG 2.2, success criterion 1.4.3 (AA): 4.5 to 1, and 3 to 1 for large text (24 px, or bold 18.66 px).
CONTRAST = """
(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const luminance = (rgb) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.slice(0, 3).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, title, .skip")) continue;
    const style = getComputedStyle(element);
    const front = parse(element.closest("svg") ? style.fill : style.color);
    const [high, low] = [luminance(front), luminance(behind(element))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    found.push([ratio / (large ? 3 : 4.5), ratio.toFixed(2), walker.currentNode.data.trim()]);
  }
  found.sort((a, b) => a[0] - b[0]);
  return {texts: found.length, low: found.filter((entry) => entry[0] < 1)};
})()
"""
PICTURES = "[...document.querySelectorAll('.panels svg')]"
OPEN_ALL = "for (const details of document.querySelectorAll('details')) details.open = true"


def column(caption: str, number: int) -> str:
    """Script that gives the texts of a table's column, top to bottom."""
    return (
        f"[...[...document.querySelectorAll('caption')].find((c) => c.textContent === '{caption}').parentElement"
        f".tBodies[0].rows].map((row) => row.cells[{number}].textContent)"
    )


def head_button(caption: str, number: int) -> str:
    """Script that gives the button in a column's head."""
    return (
        f"[...document.querySelectorAll('caption')].find((c) => c.textContent === '{caption}').parentElement"
        f".tHead.rows[0].cells[{number}].querySelector('button')"
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    path = chromium.executable()
    assert path
    started = chromium.Browser(path, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    reports = tmp_path_factory.mktemp("root") / "reports"
    earlier, newest = example(), example()
    earlier["run"]["started"], earlier["gate"]["blessed"], earlier["pushed"] = "2026-09-13T03:15:02Z", False, None
    report.write_report(reports / "earlier", earlier)
    newest["drift"] = [
        {
            "feature": "length",
            "distance": 0.2,
            "limit": 0.1,
            "bins": ["2", "3"],
            "train": [0.6, 0.4],
            "test": [0.7, 0.3],
        },
        {
            "feature": "item",
            "distance": 0.01,
            "limit": 0.1,
            "names": ["spans 4 to 8", "span 9"],
            "bins": [*(str(place) for place in range(1, 15)), "never", "other"],
            "train": [0.01] * 14 + [0.0, 0.86],
            "test": [0.02] * 14 + [0.0, 0.72],
        },
    ]
    newest["evaluation"]["intervals"] = {"model": {"recall@20": [0.66, 0.68]}}
    return report.write_report(reports / "newest", newest).as_uri()


def test_drift_is_drawn_beside_what_it_is_compared_with(browser: chromium.Browser, url: str) -> None:
    browser.open(url)
    legends = browser.evaluate(
        "[...document.querySelectorAll('[data-drawing=shares]')].map((one) => one.querySelector('.legend').textContent)"
    )
    assert legends == ["traintest", "spans 4 to 8span 9"]
    columns = browser.evaluate("document.querySelectorAll('[data-drawing=shares] .alone rect').length")
    assert columns == 28  # of 14 items; neither of all others, which would dwarf them, nor of what is not there


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_opens_without_a_word_on_the_console_or_a_request(browser: chromium.Browser, url: str, dark: bool) -> None:
    browser.open(url, dark=dark)
    assert browser.console == []
    assert browser.requests == [url]


def test_every_chart_is_drawn_in_its_place(browser: chromium.Browser, url: str) -> None:
    browser.open(url)
    drawn = browser.evaluate(
        "[...document.querySelectorAll('[data-drawing]')].map((host) => ["
        "host.querySelectorAll('svg path[d], svg rect').length, /NaN|undefined/.test(host.innerHTML)])"
    )
    assert len(drawn) == 12
    assert all(marks >= 2 and not broken for marks, broken in drawn)


def test_charts_follow_the_width_of_the_window(browser: chromium.Browser, url: str) -> None:
    browser.open(url, width=1200)
    widths = f"{PICTURES}.map((svg) => [svg.viewBox.baseVal.width, svg.parentElement.clientWidth])"
    browser.call("Emulation.setDeviceMetricsOverride", width=500, height=900, deviceScaleFactor=1, mobile=False)
    browser.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found = browser.evaluate(widths)
    assert found
    assert all(drawn == place for drawn, place in found)


def test_nothing_hostile_runs(browser: chromium.Browser, tmp_path: Path) -> None:
    attack = "</script><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>"
    metrics = example()
    metrics["examples"] = [{"session": [attack], "clicked": attack, "recommended": [attack]}]
    metrics["evaluation"]["slices"][0]["slice"] = f"{attack}=1"
    metrics["data"]["rows_rejected"][attack] = 900
    metrics["run"]["seconds_by_component"][attack] = 900
    page = report.write_report(tmp_path / "run", metrics).as_uri()
    browser.open(page)
    assert browser.evaluate("[window.attacked === undefined, document.images.length]") == [True, 0]
    assert (browser.console, browser.requests) == ([], [page])


def test_tables_sort_by_click_and_by_key(browser: chromium.Browser, url: str) -> None:
    browser.open(url)
    recall = head_button("Headline figures", 1)
    browser.evaluate(f"{recall}.click()")
    assert browser.evaluate(column("Headline figures", 1)) == [
        "0.6712", "0.6604", "0.6283", "0.5811", "0.2391", "0.0492", "+0.0429", "+0.0108",
    ]  # fmt: skip
    assert browser.evaluate(f"{recall}.parentElement.ariaSort") == "descending"
    browser.evaluate(f"{recall}.focus()")
    browser.press("Enter", 13, "\r")
    assert browser.evaluate(column("Headline figures", 0))[0] == "Gain over the served model"
    assert browser.evaluate(f"{recall}.parentElement.ariaSort") == "ascending"
    browser.evaluate(f"{head_button('Headline figures', 0)}.click()")
    assert browser.evaluate(column("Headline figures", 0))[:2] == [
        "Gain over the best baseline",
        "Gain over the served model",
    ]
    assert browser.evaluate(f"{recall}.parentElement.ariaSort") is None


def test_figures_sort_as_figures_and_missing_ones_below(browser: chromium.Browser, url: str) -> None:
    browser.open(url)
    browser.evaluate(f"{head_button('Rows by outcome', 1)}.click()")
    assert browser.evaluate(column("Rows by outcome", 1))[:4] == ["83,521", "13,568", "4,193", "2,304"]
    browser.evaluate(f"{head_button('Headline figures', 6)}.click()")
    assert browser.evaluate(column("Headline figures", 6))[:2] == ["11.42", "n/a"]


def test_anchors_lead_to_their_sections(browser: chromium.Browser, url: str) -> None:
    browser.open(url, height=700)
    browser.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    for name in browser.evaluate("[...document.querySelectorAll('nav a')].map((link) => link.hash)"):
        browser.evaluate(f"document.querySelector('nav a[href=\"{name}\"]').click()")
        top, bottom, hash_ = browser.evaluate(
            f"(() => {{ const at = document.querySelector('{name}').getBoundingClientRect();"
            "return [at.top, at.bottom, location.hash]; })()"
        )
        # Below the sticky list of sections, and on the screen.
        assert hash_ == name
        assert 40 <= top < bottom <= 700


def test_keyboard_reaches_the_report_past_the_links(browser: chromium.Browser, url: str) -> None:
    browser.open(url)
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.textContent") == "Skip to the report"
    browser.press("Enter", 13, "\r")
    assert browser.evaluate("document.activeElement.id") == "main"


def test_phone_never_scrolls_sideways(browser: chromium.Browser, url: str) -> None:
    browser.open(url, width=PHONE_WIDTH, height=740)
    browser.evaluate(OPEN_ALL)
    assert browser.evaluate("document.documentElement.scrollWidth") == PHONE_WIDTH
    # What is wider scrolls in a place of its own, that the keyboard reaches.
    outside = browser.evaluate(
        "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('.scroll[tabindex=\"0\"]')).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert outside == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_has_enough_contrast(browser: chromium.Browser, url: str, dark: bool) -> None:
    browser.open(url, dark=dark)
    browser.evaluate(OPEN_ALL)
    found: dict[str, Any] = browser.evaluate(CONTRAST)
    assert found["texts"] > 1000
    assert found["low"] == []


def test_theme_button_overrides_the_system(browser: chromium.Browser, url: str) -> None:
    browser.open(url, dark=True)
    background = "getComputedStyle(document.body).backgroundColor"
    dark = browser.evaluate(background)
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate("document.getElementById('theme').textContent") == "Theme: light"
    light = browser.evaluate(background)
    browser.evaluate("document.getElementById('theme').click()")
    assert (browser.evaluate(background), light != dark) == (dark, True)


def test_print_opens_what_is_folded_and_closes_it_again(browser: chromium.Browser, url: str, tmp_path: Path) -> None:
    browser.open(url, dark=True)
    browser.evaluate(
        "addEventListener('beforeprint', () => { window.printed = ["
        "document.querySelectorAll('details:not([open])').length,"
        f"Math.max(...{PICTURES}.map((svg) => svg.viewBox.baseVal.width))]; }})"
    )
    browser.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert browser.evaluate("window.printed") == [0, 680]
    assert browser.evaluate("document.querySelectorAll('details[open]').length") == 0
    browser.call("Emulation.setEmulatedMedia", media="print")
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert paper == "rgb(255, 255, 255)"


def test_without_scripts_every_figure_still_stands_in_a_table(browser: chromium.Browser, url: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(url)
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    shown = [len(browser.call("DOM.querySelectorAll", nodeId=root, selector=name)["nodeIds"]) for name in ("svg", "td")]
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert shown[0] == 0
    assert shown[1] > 500
