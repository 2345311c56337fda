"""The page in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from quantkit.report.html import render_html
from tests.report.reports import bare_report, full_report
from tests.report.schemes import CLOSE

pytestmark = pytest.mark.slow

Colors = Literal["light", "dark"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Every element with text of its own, outside drawings: contrast with what it stands on, and size.
TEXTS = """() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const luminance = color => channels(color).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (channels(color)[3] !== 0) return color;
    }
  };
  const own = element => [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  return [...document.querySelectorAll('body *')]
    .filter(element => !element.closest('svg') && own(element))
    .map(e => {
      const style = getComputedStyle(e);
      const [a, b] = [luminance(style.color), luminance(ground(e))];
      return {
        text: e.textContent.trim().slice(0, 30),
        contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05),
        size: parseFloat(style.fontSize),
      };
    });
}"""

# Pairs of labels of one drawing that cover each other.
OVERLAPS = """() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')];
  const labels = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
  return labels.flatMap(([one, a], i) => labels.slice(i + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
    .map(([other]) => [svg.getAttribute('aria-labelledby'), one, other]));
})"""

PLAYED = """() => Promise.all([...document.querySelectorAll('audio')].map(async audio => {
  audio.muted = true;
  await audio.play();
  for (let wait = 0; wait < 100 && !(audio.currentTime > 0.1); wait++)
    await new Promise(done => setTimeout(done, 50));
  audio.pause();
  return {ready: audio.readyState, duration: audio.duration, at: audio.currentTime};
}))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(f"none of {', '.join(BROWSERS)} is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["full", "close", "bare"])
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    report, audio = {
        "full": full_report,
        "close": lambda: full_report(CLOSE, layers=24),
        "bare": lambda: (bare_report(), {}),
    }[request.param]()
    path = tmp_path_factory.mktemp(request.param) / "report.html"
    path.write_text(render_html(report, audio))
    return path


class Watched:
    """A page and everything that it complained about or asked for."""

    def __init__(self, browser: Browser, path: Path, width: int, colors: Colors) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        size = ViewportSize(width=width, height=900)
        self.page: Page = browser.new_page(viewport=size, color_scheme=colors)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def ask(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_readable_at_any_width_in_both_modes(
    browser: Browser, page_file: Path, width: int, colors: Colors
) -> None:
    watched = Watched(browser, page_file, width, colors)
    watched.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert watched.ask("document.scrollingElement.scrollWidth") <= width
    texts = watched.ask(TEXTS)
    assert len(texts) > 40
    assert [one for one in texts if one["contrast"] < 4.5 or one["size"] < 16] == []
    assert watched.ask(OVERLAPS) == []
    dark = watched.ask("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    assert dark == (colors == "dark")
    if not page_file.parent.name.startswith("bare"):
        drawings = watched.page.locator("figure svg")
        assert drawings.count() == 4
        for drawing in drawings.all():
            box = drawing.bounding_box()
            assert drawing.is_visible()
            assert box
            assert box["width"] > 300
            assert box["height"] > 200
    assert watched.complaints == []
    assert [url for url in watched.requests if not url.startswith("data:")] == [page_file.as_uri()]
    watched.page.close()


def test_every_player_plays(browser: Browser, tmp_path: Path) -> None:
    report, audio = full_report()
    path = tmp_path / "report.html"
    path.write_text(render_html(report, audio))
    watched = Watched(browser, path, 1280, "light")
    played = watched.ask(PLAYED)
    assert len(played) == 20
    for one, state in zip(report.worst, played, strict=True):
        assert state["ready"] >= 2, one.id
        assert state["duration"] == pytest.approx(one.duration_s, abs=0.15), one.id
        assert state["at"] > 0.1, one.id
    assert watched.complaints == []
    assert [url for url in watched.requests if not url.startswith("data:")] == [path.as_uri()]
    watched.page.close()


def test_structure(browser: Browser, page_file: Path) -> None:
    watched = Watched(browser, page_file, 1280, "light")
    levels = watched.ask("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert watched.ask("document.documentElement.lang") == "en"
    assert watched.page.locator("th:not([scope])").count() == 0
    assert watched.page.locator("table:not(:has(caption))").count() == 0
    assert watched.page.locator("figure svg:not([role=img]:has(title))").count() == 0
    watched.page.close()


def test_nothing_of_the_report_becomes_markup(page_file: Path) -> None:
    text = page_file.read_text()
    assert "<b>" not in text
    assert "&lt;b&gt;no&lt;/b&gt; text field" in text
    assert "<script" not in text
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:" in text
    assert set(re.findall(r"https?://[^\"\s]+", text)) == set()
    assert "None" not in text


def test_words_are_marked_by_more_than_color() -> None:
    report, audio = full_report()
    text = render_html(report, audio)
    assert '<span class="said">please</span><span><span class="same">please</span></span>' in text
    assert '<span class="missing">∅</span>' in text
    assert re.search(r'<span class="added">\+\w+</span>', text)
    assert ".other { color: var(--bad); text-decoration: underline;" in text
