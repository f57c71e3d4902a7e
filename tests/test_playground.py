"""Without this, the page on which people try a model could show other items than the model answers, or stale ones."""

import chromium
import pytest
import tiny_models

from nextclick.serving import server

pytestmark = pytest.mark.skipif(
    chromium.executable() is None,
    reason="no Chromium: install Debian's package chromium, or name one in NEXTCLICK_CHROMIUM",
)
HOSTILE = "<img src=x onerror=document.title='hacked'>"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Two versions under labels: stable recommends the next item, canary the one after it."""
    root = tmp_path_factory.mktemp("root")
    (root / "serving" / "tiny").mkdir(parents=True)
    tiny_models.save(root / "serving" / "tiny" / "1")
    tiny_models.save(root / "serving" / "tiny" / "2", shift=2)
    text = """model_config_list { config { name: "tiny" base_path: "tiny" model_platform: "tensorflow"
        model_version_policy { all {} }
        version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 } } }"""
    (root / "serving" / "models.config").write_text(text, encoding="utf-8")
    with server.running("--root", str(root), "--server", "local", "--playground") as facts:
        yield f"http://{facts['rest']}/playground/"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    started = chromium.Browser(chromium.executable(), tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


# Resolves when the columns show what belongs to the session, or after ten seconds.
SHOWN = """new Promise((done) => {{
  const end = Date.now() + 10000;
  const look = () => {{
    const columns = [...document.querySelectorAll('.answer')].map((column) =>
      [column.dataset.label, ...[...column.querySelectorAll('li button span:nth-child(2)')].map((s) => s.textContent)]);
    if (JSON.stringify(columns) === {wanted} || Date.now() > end) done(columns); else setTimeout(look, 20);
  }};
  look();
}})"""


def columns(browser, session):
    """The columns of the page, once they show what the two versions answer after a session."""
    wanted = [[label, *tiny_models.expected(session, shift)[0]] for label, shift in (("stable", 1), ("canary", 2))]
    text = str(wanted).replace("'", '"').replace(" ", "")
    assert browser.evaluate(SHOWN.format(wanted=repr(text))) == wanted


def click(browser, selector, text):
    found = f"[...document.querySelectorAll({selector!r})].find((e) => e.textContent.includes({text!r}))"
    browser.evaluate(f"{found}.click()")


def test_predictions_follow_every_click_for_both_labels(browser, url, tmp_path):
    browser.open(url)
    columns(browser, [])
    click(browser, "#catalogue button", "c")
    columns(browser, ["c"])
    click(browser, ".answer[data-label=canary] li:first-child button", "e")
    columns(browser, ["c", "e"])
    click(browser, "#session button", "e")
    columns(browser, ["c"])
    facts = browser.evaluate("[...document.querySelectorAll('.answer p')].map((p) => p.textContent)")
    assert [fact.partition(" · ")[0] for fact in facts] == ["version 1", "version 2"]
    assert all(fact.endswith(" ms") for fact in facts)
    click(browser, "#clear", "Start")
    columns(browser, [])
    assert browser.console == []
    assert all(
        request.startswith(url.partition("/playground/")[0]) or request == "data:," for request in browser.requests
    )


def test_items_that_only_one_version_recommends_are_marked(browser, url):
    browser.open(url)
    columns(browser, [])
    browser.evaluate("view('h')")
    columns(browser, ["h"])
    marked = browser.evaluate("[...document.querySelectorAll('.only span:nth-child(2)')].map((s) => s.textContent)")
    stable, canary = (set(tiny_models.expected(["h"], shift)[0]) for shift in (1, 2))
    assert set(marked) == stable ^ canary
    assert marked


def test_a_typed_item_is_viewed_and_whatever_it_holds_stays_text(browser, url):
    browser.open(url)
    columns(browser, [])
    browser.evaluate(f"document.getElementById('item').value = {HOSTILE!r}")
    click(browser, "#add button", "View it")
    columns(browser, [HOSTILE])
    assert browser.evaluate("document.querySelector('#session button').textContent") == HOSTILE
    assert browser.evaluate("document.title") == "nextclick playground"


def test_a_refusal_is_told(browser, url):
    browser.open(url)
    columns(browser, [])
    browser.evaluate("view('x'.repeat(257))")
    shown = """new Promise((done) => { const end = Date.now() + 10000; const look = () => {
      const error = document.getElementById('error');
      if (!error.hidden || Date.now() > end) done(error.textContent); else setTimeout(look, 20); }; look(); })"""
    assert "an id of more than 256 bytes" in browser.evaluate(shown)


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (400, True)])
def test_it_fits_the_window(browser, url, tmp_path, width, dark):
    browser.open(url, width=width, dark=dark)
    columns(browser, [])
    assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    browser.screenshot(tmp_path / "playground.png")
