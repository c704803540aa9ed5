"""A real Chromium: what it is started with, what it watches on every page, and what it measures there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
WAIT: Final = 120_000  # milliseconds: the machine may be slow and busy, and a page that comes late is still right


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium; the tests are skipped where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("There is no Chromium here (apt-get install chromium), so the dashboard is not tested in one.")
    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # which Chromium does not allow root
        browser = playwright.chromium.launch(executable_path=path, args=sandbox, timeout=WAIT)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page that fails its test for any error in the console and any request to another host."""
    context = browser.new_context(
        **{"viewport": {"width": 1320, "height": 900}, "locale": "en-GB", "timezone_id": "UTC", **options}
    )
    page = context.new_page()
    page.set_default_timeout(WAIT)
    said: list[str] = []
    asked: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: said.append(str(error)))
    context.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert said == []
    assert [address for address in asked if not address.startswith((f"{url}/", "data:", "blob:"))] == []


def settled(page: Page) -> None:
    """Wait until every chart of the page is drawn."""
    page.wait_for_function("[...document.querySelectorAll('.plot')].every((plot) => plot.dataset.drawn)")


@cache
def _axe() -> str:
    """axe-core, which the package carries."""
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    """What axe finds on the page as it is, every rule of it."""
    page.evaluate(_axe())
    found = page.evaluate("axe.run({ resultTypes: ['violations'] }).then((all) => all.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


# Texts whose contrast with what is behind them is below WCAG AA: 4.5, or 3 for large ones.
FAINT: Final = """() => {
  const parsed = (color) => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parsed(getComputedStyle(e).backgroundColor));
    let under = matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
    for (const { rgb, a } of layers.reverse()) under = under.map((u, i) => rgb[i] * a + u * (1 - a));
    return under;
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Set();
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".hidden, .skip, svg, script, .frame > .side")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(parsed(style.color).rgb), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.add(`${element.className || element.tagName}: ${ratio.toFixed(2)}`);
  }
  return [...found];
}"""

# What a screen reader would miss.
UNNAMED: Final = """() => {
  const found = [];
  const named = (e) => (e.textContent + (e.getAttribute("aria-label") || "") + (e.title || "")).trim();
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!e.labels.length) found.push(`no label: ${e.name}`);
  }
  for (const e of document.querySelectorAll("a, button, summary")) if (!named(e)) found.push(`no name: ${e.outerHTML}`);
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) found.push(`no alt: ${e.src}`);
  for (const e of document.querySelectorAll("thead th")) {
    if (!e.scope && e.getAttribute("aria-hidden") !== "true") found.push(`no scope: ${e.textContent}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  ids.forEach((id, i) => { if (ids.indexOf(id) !== i) found.push(`twice: #${id}`); });
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) {
    const names = `${e.getAttribute("aria-labelledby") || ""} ${e.getAttribute("aria-describedby") || ""}`;
    for (const id of names.trim().split(/\\s+/)) if (!document.getElementById(id)) found.push(`nowhere: #${id}`);
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  if (!document.documentElement.lang) found.push("no language");
  return found;
}"""

# Labels of a chart that lie on each other or on a bar, and texts and tables that are cut off.
OVERLAPPING: Final = """() => {
  const found = [];
  for (const plot of document.querySelectorAll(".plot")) {
    const texts = [...plot.querySelectorAll(".xtick text, .ytick text, .legendtext, .xtitle, .ytitle")];
    const boxes = texts.map((t) => t.getBoundingClientRect());
    const frame = plot.getBoundingClientRect();
    const angle = (t) => Number(/rotate\\((-?[\\d.]+)/.exec(t.getAttribute("transform"))?.[1] || 0);
    const between = (a, b) => Math.max(Math.abs(a.left - b.left), Math.abs(a.right - b.right));
    const tilt = texts.map((t) => Math.abs(Math.sin(angle(t) * Math.PI / 180)));  // boxes of tilted texts may overlap
    boxes.forEach((a, i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.bottom > frame.bottom + 1) {
        found.push(`${plot.id}: "${texts[i].textContent}" is cut off`);
      }
      boxes.slice(i + 1).forEach((b, j) => {
        const apart = tilt[i] && tilt[i] === tilt[i + 1 + j] && tilt[i] * between(a, b) >= 10;
        if (!apart && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1) {
          found.push(`${plot.id}: "${texts[i].textContent}" on "${texts[i + 1 + j].textContent}"`);
        }
      });
    });
  }
  // Words beside points and bars: on each other, or on a thick bar.
  for (const plot of document.querySelectorAll(".plot")) {
    const words = [...plot.querySelectorAll(".textpoint text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
    const bars = [...plot.querySelectorAll(".scatterlayer path.js-line")].flatMap((line) => {
      const half = parseFloat(getComputedStyle(line).strokeWidth) / 2;
      const box = line.getBoundingClientRect();
      return half < 3 ? [] : [["a bar", new DOMRect(box.x, box.y - half, box.width, box.height + 2 * half)]];
    });
    words.forEach(([text, a], i) => {
      for (const [other, b] of [...words.slice(i + 1), ...bars]) {
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1) {
          found.push(`${plot.id}: "${text}" on "${other}"`);
        }
      }
    });
  }
  const cut = ".badge, .figures dd, .figures dt, .button, h1, h2, .stage strong, .stage small, .side a";
  const wide = innerWidth > 900 ? ", .scroll" : "";  // on small screens tables scroll
  for (const e of document.querySelectorAll(cut + wide)) {
    if (e.scrollWidth > e.clientWidth + 1) found.push(`cut off: ${e.textContent.trim().slice(0, 80)}`);
  }
  return found;
}"""
