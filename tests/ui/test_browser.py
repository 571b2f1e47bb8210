"""The page in a real browser, before a real API: what visitors do, what they see, and screenshots of it."""

import json
import os
import re
import signal
import statistics
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import httpx
import pandas as pd
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests import servers, tiny
from tests.browser import PHONE, barriers
from tests.conftest import ROOT
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import FEATURES

pytestmark = pytest.mark.browser

REPORT = ROOT / "reports" / "ui"
DESKTOP = (1280, 1000)
EVALUATION = {
    "candidate": {"metrics": {"mae": {"value": 0.5, "low": 0.4, "high": 0.6}}},
    "slices": {
        "all wines": {
            "wines": 100,
            "mae": {"value": 0.5, "low": 0.4, "high": 0.6},
            "coverage": {"value": 0.91, "low": 0.85, "high": 0.96},
        }
    },
    "gates": [{"gate": "coverage", "threshold": "0.83 to 0.96", "measured": "0.91", "passed": True}],
    "report": "wine-quality-evaluation:v0",
}
STOPWATCH = """
const score = () => document.querySelector("[data-testid=stMetricValue]")?.innerText;
window.times = {};
new MutationObserver(() => {
  const now = performance.now();
  if (!times.words && document.querySelector("h1")) times.words = now;
  if (!times.score && score()) times.score = now;
  if (times.pressed && !times.answer && score() !== times.before) times.answer = now - times.pressed;
}).observe(document, { characterData: true, childList: true, subtree: true });
document.addEventListener("click", () => Object.assign(times, { before: score(), pressed: performance.now() }), true);
"""
COLOURS_ARE_FINAL = "!document.getAnimations().some(e => e instanceof CSSTransition && e.playState === 'running')"
OUTDATED = "This answer belongs to other measurements"
READY = {  # what each address shows last
    "": "Answered by model v0",
    "?start=mine&color=red&alcohol=20&ph=sour": "each says why",
    "?start=mine&ph=3": "Answered by model v0",
    "file": "Upload",
    "about": "Model card",
}
PAPER: dict[Literal["light", "dark"], str] = {"light": "rgb(253, 252, 250)", "dark": "rgb(28, 25, 23)"}  # the theme's
REPORTS = "https://somebody.github.io/wine"
NAMES = {f"{feature.label} ({feature.unit})" if feature.unit else feature.label: feature.name for feature in FEATURES}
FOCUS = """() => {
  const at = document.activeElement, box = at.getBoundingClientRect(), sticky = ".st-key-submit, .st-key-headline";
  if (at === document.body) return [null, false];
  const name = at.innerText || at.getAttribute("aria-label") || at.tagName;
  const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  return [name, Boolean(top?.closest(sticky)) && !at.closest(sticky)];
}"""
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def api(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A running API whose production is the small bundle, evaluated."""
    home = tmp_path_factory.mktemp("browser")
    registry = FolderRegistry(home / "registry")
    registry.publish(tiny_bundle, MODEL, kind="model", aliases=["candidate", "production"])
    registry.attach_evaluation(f"{MODEL}:v0", EVALUATION)
    kept = f"folder:{registry.root}"
    with servers.api(home / "api.log", WINE_REGISTRY=kept, WINE_PREDICTION_LOG="false") as server:
        yield server


@pytest.fixture(scope="module")
def site(api: servers.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A running page that asks that API."""
    REPORT.mkdir(parents=True, exist_ok=True)
    with servers.ui(
        tmp_path_factory.mktemp("site") / "log", WINE_API_URL=api.address, WINE_REPORTS_URL=REPORTS
    ) as server:
        yield server


@pytest.fixture(scope="module")
def window(chromium: Browser) -> Iterator[BrowserContext]:
    """One window for all visitors: each is a session of its own, but the page's scripts are fetched and read once."""
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    context.add_init_script(STOPWATCH)
    yield context
    context.close()


@pytest.fixture(scope="module")
def waits() -> list[dict[str, float]]:
    """How long each visitor waited so far, in milliseconds, as the stopwatch in the page says."""
    return []


@pytest.fixture
def visit(window: BrowserContext, site: servers.Server, waits: list[dict[str, float]]) -> Iterator[Visit]:
    """Open a page as a new visitor; no script of it may fail until the test ends."""
    failures: list[str] = []

    def go(path: str = "", size: tuple[int, int] = DESKTOP) -> Page:
        page = window.new_page()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(path if path.startswith("http") else f"{site.address}/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_test_id("stHtml")).to_have_count(2)  # the page's own style and script come a moment later
        settled(page)
        return page

    yield go
    for page in window.pages:
        waits.append(page.evaluate("window.times"))
        page.close()
    assert failures == []


def settled(page: Page) -> None:
    """Wait until the page has drawn what it was asked for."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def field(page: Page, label: str) -> Locator:
    """A measurement's field."""
    return page.get_by_role("textbox", name=label, exact=True)


def fill(page: Page, label: str, text: str) -> None:
    """Type into a field and leave it, once the page has drawn what it was asked for before."""
    settled(page)
    field(page, label).fill(text)
    field(page, label).press("Tab")


def start_from(page: Page, label: str, name: str) -> None:
    """Lay another sheet on the form; it is there when the address holds its name."""
    page.get_by_role("radio", name=label).click()
    page.wait_for_url(lambda url: httpx.URL(url).params.get("start") == name)
    settled(page)


def press(page: Page, name: str) -> None:
    """Press a button."""
    page.get_by_role("button", name=name, exact=True).click()


def said(page: Page) -> Locator:
    """The score that is shown."""
    return page.get_by_test_id("stMetricValue").first


def typed(page: Page) -> dict[str, float | str]:
    """The wine on the form."""
    texts = {name: field(page, label).input_value() for label, name in NAMES.items()}
    chosen = page.get_by_role("radiogroup", name="Colour").get_by_role("radio", checked=True)
    return {name: float(text.replace(",", ".")) for name, text in texts.items()} | {
        "color": chosen.inner_text().lower()
    }


def predicted(api: servers.Server, wine: dict[str, float | str]) -> str:
    """What the API says of a wine, as it is shown."""
    answer = httpx.post(f"{api.address}/predict", json=wine).raise_for_status().json()
    return f"{answer['quality']:.1f} of 10"


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the whole page."""
    settled(page)
    size = page.viewport_size or {"width": 0, "height": 0}
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], height)})
    settled(page)
    page.screenshot(path=REPORT / f"{name}.png", animations="disabled")
    page.set_viewport_size(size)


# One wine


def test_first_visit_shows_a_scored_wine(visit: Visit, api: servers.Server) -> None:
    """A typical wine is on the form, scored; the address bar leads to it."""
    page = visit()
    expect(said(page)).to_be_visible()
    assert typed(page).keys() == set(tiny.CENTERS) | {"color"}
    expect(said(page)).to_have_text(predicted(api, typed(page)))
    expect(page.get_by_text("the tasters' grade was")).to_be_visible()
    shoot(page, "score")


def test_preset_is_scored_when_chosen(visit: Visit, api: servers.Server) -> None:
    """One click lays the wine on the form, switches the colour and answers."""
    page = visit()
    page.get_by_role("radio", name="A typical white").click()
    expect(page.get_by_role("radio", name="White", exact=True)).to_be_checked()
    settled(page)
    expect(said(page)).to_have_text(predicted(api, typed(page)))


def test_decimal_comma_and_unusual_value(visit: Visit, api: servers.Server) -> None:
    """13,9 is read; the form says that it changed, then the answer is the API's, with a warning at the field."""
    page = visit()
    fill(page, "Alcohol (% vol)", "13,9")
    expect(page.get_by_text(OUTDATED)).to_be_visible()
    expect(said(page)).to_have_css("color", "rgb(96, 90, 84)")  # the grey of small print
    press(page, "Score this wine")
    expect(page.get_by_text(OUTDATED)).to_have_count(0)
    expect(said(page)).to_have_text(predicted(api, typed(page)))
    expect(page.get_by_text("Alcohol 13.9 lies outside")).to_have_count(2)  # beside the number and beside the field
    shoot(page, "warning")


def test_answer_stays_in_sight_of_the_last_field(visit: Visit) -> None:
    """At the end of the form both the button and the score can still be seen."""
    page = visit(size=(1280, 720))
    field(page, "Alcohol (% vol)").scroll_into_view_if_needed()
    fill(page, "Alcohol (% vol)", "11")
    expect(page.get_by_role("button", name="Score this wine")).to_be_in_viewport(ratio=1)
    expect(said(page)).to_be_in_viewport(ratio=1)


def test_what_was_not_measured_is_said(visit: Visit) -> None:
    """The answer names what was assumed and how far it matters, and claims no interval."""
    page = visit()
    fill(page, "Chlorides (g/L as sodium chloride)", "")
    expect(page.get_by_text(OUTDATED)).to_be_visible()  # the page knows what was typed
    fill(page, "Density (g/mL)", "")
    press(page, "Score this wine")
    expect(page.get_by_text("This is no 90% range, as not everything was measured.")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="Chlorides: assumed")).to_contain_text("the score goes from")
    expect(page.get_by_role("listitem").filter(has_text="Density: assumed")).to_be_visible()
    expect(page.get_by_text("Range, for 90%")).to_have_count(0)
    shoot(page, "not-measured")


def test_wine_unlike_any_is_an_extrapolation(visit: Visit) -> None:
    """The answer itself says so beside the number, with the reason, and claims no share of such wines."""
    page = visit()
    expect(page.get_by_text("Range, for 90% of such wines")).to_be_visible()
    fill(page, "Alcohol (% vol)", "20")
    press(page, "Score this wine")
    headline = page.locator(".st-key-headline")
    expect(headline.get_by_text("Score, extrapolated")).to_be_visible()
    expect(headline.get_by_role("alert")).to_contain_text("Alcohol 20 lies outside")
    expect(page.get_by_test_id("stMain")).not_to_contain_text("90%")
    expect(page.get_by_text("or better")).to_have_count(0)


def test_what_if_of_any_measurement(visit: Visit) -> None:
    """A curve for the chosen one, with a text for those who cannot see it."""
    page = visit(size=(1280, 3000))  # all in view, as scrolling closes an open list
    expect(page.get_by_test_id("stVegaLiteChart").filter(has_text="If only alcohol were different")).to_be_visible()
    page.get_by_role("combobox", name="What if this were different?").click()
    page.get_by_role("option", name="pH", exact=True).click()
    curve = page.get_by_test_id("stVegaLiteChart").filter(has_text="If only pH were different")
    expect(curve).to_be_visible()
    assert "as pH goes from" in (curve.get_attribute("aria-label") or "")


def test_link_reproduces_the_wine(visit: Visit) -> None:
    """Somebody who is sent the address sees the same form and the same answer."""
    page = visit()
    fill(page, "pH", "3,05")
    fill(page, "Sulphates (g/L as potassium sulphate)", "")
    press(page, "Score this wine")
    expect(page.get_by_text("This is no 90% range")).to_be_visible()
    other = visit(page.url)
    expect(said(other)).to_have_text(said(page).inner_text())
    expect(field(other, "pH")).to_have_value("3,05")
    expect(field(other, "Sulphates (g/L as potassium sulphate)")).to_have_value("")
    assert other.url == page.url


def test_back_button_goes_back_a_wine(visit: Visit) -> None:
    """Not a field: what was scored before is on the form again, with its answer; forward goes forward."""
    page = visit()
    first = said(page).inner_text()
    fill(page, "Alcohol (% vol)", "13.1")
    fill(page, "pH", "3.11")
    field(page, "pH").press("Enter")
    expect(said(page)).not_to_have_text(first)
    second = said(page).inner_text()
    page.go_back()
    expect(said(page)).to_have_text(first)
    expect(field(page, "pH")).not_to_have_value("3.11")
    page.go_forward()
    expect(said(page)).to_have_text(second)
    expect(field(page, "Alcohol (% vol)")).to_have_value("13.1")
    expect(page.get_by_text(OUTDATED)).to_have_count(0)


def test_empty_form_stands_beside_no_answer(visit: Visit) -> None:
    """After a preset "My wine" is empty, and nothing is said of it until something was measured."""
    page = visit()
    start_from(page, "My wine", "mine")
    expect(page.get_by_text("The score appears here")).to_be_visible()
    expect(said(page)).to_have_count(0)
    press(page, "Score this wine")
    settled(page)
    expect(said(page)).to_have_count(0)


def test_two_wines_stand_side_by_side_under_one_link(visit: Visit) -> None:
    """One is kept, the next stands beside it; the address leads somebody else to both."""
    page = visit()
    press(page, "Compare with another wine")
    page.wait_for_url("**beside.color=red**")
    start_from(page, "A typical white", "typical-white")
    rows = page.locator(".st-key-beside").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("Score")
    told = rows.all_inner_texts()
    assert any(row.startswith("Colour") and "white" in row and "red" in row for row in told)
    other = visit(page.url).locator(".st-key-beside").get_by_role("row")
    expect(other).to_have_count(len(told))
    assert other.all_inner_texts() == told


def test_link_cannot_put_markup_on_the_page(visit: Visit) -> None:
    """What stands in an address is shown as it is."""
    page = visit("?start=mine&ph=[win](https://example.org)")
    expect(page.get_by_text("“[win](https://example.org)” is not a number")).to_be_visible()
    expect(page.get_by_role("link", name="win", exact=True)).to_have_count(0)


def test_going_elsewhere_and_back_loses_nothing(visit: Visit) -> None:
    """Another sheet, another page: what was typed and what was answered is there again."""
    page = visit()
    start_from(page, "My wine", "mine")
    fill(page, "Alcohol (% vol)", "12,25")
    start_from(page, "A typical red", "typical-red")
    expect(field(page, "Alcohol (% vol)")).not_to_have_value("12,25")
    page.get_by_role("link", name="About the model").click()
    expect(page.get_by_role("heading", name="Who answers here?")).to_be_visible()
    page.get_by_role("link", name="Score a wine").click()
    start_from(page, "My wine", "mine")
    expect(field(page, "Alcohol (% vol)")).to_have_value("12,25")


# A file, and the model


def test_file_is_scored_with_its_bad_rows_named(visit: Visit, tmp_path: Path) -> None:
    """Good rows get the API's scores, bad ones say why, and the download keeps every column."""
    wines = tiny.made_up_wines(30).drop(columns=["quality", "group", "n_rows", "source"]).astype(object)
    wines.loc[3, "ph"], wines.loc[7, "density"] = "sour", 996.0
    wines["cask"] = [f"no. {number}" for number in range(30)]
    page = visit("file")
    content = wines.to_csv(index=False, sep=";").encode()
    page.locator("input[type=file]").set_input_files({"name": "cellar.csv", "mimeType": "text/csv", "buffer": content})
    expect(page.get_by_text("28 of 30 wines scored.")).to_be_visible()
    expect(page.get_by_text("2 could not be.")).to_be_visible()
    with page.expect_download() as download:
        press(page, "Download the result")
    download.value.save_as(tmp_path / "scored.csv")
    scored = pd.read_csv(tmp_path / "scored.csv", sep=";")
    assert list(scored.columns)[: wines.shape[1]] == list(wines.columns)
    assert list(scored["cask"]) == list(wines["cask"])
    assert scored["score"].notna().sum() == 28
    assert list(scored.index[scored["problem"].notna()]) == [3, 7]
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()
    shoot(page, "file")


def test_largest_file_is_scored_without_filling_the_memory(visit: Visit, site: servers.Server) -> None:
    """20,000 rows and nearly 10 MB, each row unlike any seen; the page's process needs 120 MB more for it at most."""
    page = visit("file")
    wines = tiny.made_up_wines(20_000).drop(columns=["quality", "group", "n_rows", "source"])
    content = wines.assign(alcohol=24, ph=4.9, chlorides=1.9, note="x" * 350).to_csv(index=False).encode()
    assert site.process
    before = peak(site.process.pid, forget=True)
    page.locator("input[type=file]").set_input_files({"name": "many.csv", "mimeType": "text/csv", "buffer": content})
    expect(page.get_by_text("wines scored.")).to_contain_text("of 20,000 wines scored")
    expect(page.get_by_text("unlike the wines that the model knows")).to_be_visible()
    with page.expect_download() as download:
        press(page, "Download the result")
    assert download.value.path().stat().st_size > len(content)
    assert peak(site.process.pid) - before < 120


def peak(pid: int, *, forget: bool = False) -> float:
    """The most memory in MB that a process ever held, or since that was forgotten; 0 where Linux does not tell."""
    home = Path(f"/proc/{pid}")
    if forget and home.exists():
        (home / "clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+)", (home / "status").read_text()) if home.exists() else None
    return int(found[1]) / 1000 if found else 0.0


def test_about_tells_who_answers(visit: Visit) -> None:
    """Version, who decided, how good, where from."""
    page = visit("about")
    for text in ("Model v0", "In production since", "0.50 points", "wine-quality-evaluation:v0", "CC BY 4.0"):
        expect(page.get_by_text(text).first).to_be_visible()
    expect(page.get_by_role("cell", name="91% (85% to 96%)")).to_be_visible()
    report = page.get_by_role("link", name="wine-quality-evaluation:v0")
    expect(report).to_have_attribute("href", f"{REPORTS}/history/v0/04_evaluation.html")
    shoot(page, "about")


# Calm


def test_slow_service_shows_that_it_is_asked(visit: Visit, api: servers.Server) -> None:
    """From three tenths of a second on; the old answer is not taken for the new one meanwhile."""
    page = visit()
    assert api.process
    api.process.send_signal(signal.SIGSTOP)
    try:
        fill(page, "Alcohol (% vol)", "11,7")
        press(page, "Score this wine")
        expect(page.get_by_role("status").filter(has_text="Asking the model")).to_be_visible()
        assert page.locator(".busy").evaluate("busy => getComputedStyle(busy).animationDelay") == "0.3s"
    finally:
        api.process.send_signal(signal.SIGCONT)
    expect(page.get_by_text("Asking the model")).not_to_be_visible()
    expect(said(page)).to_have_text(predicted(api, typed(page)))


def test_service_is_killed_and_comes_back(visit: Visit, api: servers.Server) -> None:
    """A sentence and what to do; what was typed stays; the answer comes by itself when the service is back."""
    page = visit()
    api.stop()
    try:
        fill(page, "Alcohol (% vol)", "11,7")
        press(page, "Score this wine")
        expect(excuse(page)).to_be_visible()
        expect(field(page, "Alcohol (% vol)")).to_have_value("11,7")
        shoot(page, "away")
        newcomer = visit_while_away(page)
        expect(excuse(newcomer)).to_be_visible()
    finally:
        api.start()
    expect(said(page)).to_have_text(predicted(api, typed(page)))
    expect(field(page, "Alcohol (% vol)")).to_have_value("11,7")
    expect(said(newcomer)).to_be_visible()


def excuse(page: Page) -> Locator:
    """What a page says first when the service is away."""
    return page.get_by_role("alert").filter(has_text="The wine service is not answering.")


def visit_while_away(page: Page) -> Page:
    """A second window on the same page."""
    other = page.context.new_page()
    other.goto(page.url)
    return other


def test_page_survives_a_reconnect(visit: Visit, site: servers.Server) -> None:
    """The page's own server restarts: the browser connects again, and the address has the wine."""
    page = visit()
    fill(page, "Alcohol (% vol)", "11,3")
    expect(page.get_by_text(OUTDATED)).to_be_visible()  # the page knows what was typed
    press(page, "Score this wine")
    expect(page.get_by_text(OUTDATED)).to_have_count(0)
    before = said(page).inner_text()
    site.stop()
    site.start()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-connection-state", "CONNECTED")
    settled(page)
    expect(field(page, "Alcohol (% vol)")).to_have_value("11,3")
    expect(said(page)).to_have_text(before)


# Looks


def test_phone_needs_no_sideways_scrolling(visit: Visit) -> None:
    """Every page fits a phone, and words lead to each; the button is in reach and brings the answer into view."""
    page = visit(size=PHONE)
    fill(page, "pH", "3.1")
    expect(page.get_by_role("button", name="Score this wine")).to_be_in_viewport()
    expect(page.get_by_text(OUTDATED)).to_be_visible()  # the page knows what was typed
    press(page, "Score this wine")
    expect(page.get_by_text(OUTDATED)).to_have_count(0)
    expect(said(page)).to_be_in_viewport(ratio=1)
    for path, link in {"": "Score a file", "file": "About the model", "about": "Score a wine"}.items():
        page = visit(path, size=PHONE) if path else page
        width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        assert width <= PHONE[0], path or "score"
        expect(page.get_by_role("link", name=link)).to_be_visible()
        shoot(page, f"{path or 'score'}-phone")


def test_keyboard_is_never_behind_what_sticks(visit: Visit) -> None:
    """On a phone, tab by tab through the whole page: where the focus is can be seen."""
    page = visit(size=PHONE)
    expect(page.get_by_text("Answered by model v0")).to_be_visible()
    expect(page.locator(".stVegaLiteChart svg")).to_have_count(3)
    settled(page)
    reached: list[str] = []
    while len(reached) < 100:
        page.keyboard.press("Tab")
        focused, covered = page.evaluate(FOCUS)
        if focused is None:
            break
        assert not covered, focused
        reached.append(focused)
    assert "Score this wine" in reached


def test_keyboard_alone_leads_to_an_answer(visit: Visit, api: servers.Server) -> None:
    """From the first field tab by tab to the button; Enter in a field is as good."""
    page = visit()
    field(page, "Alcohol (% vol)").focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("12.75")
    page.keyboard.press("Tab")
    button = page.get_by_role("button", name="Score this wine")
    for _ in range(5):
        if not button.evaluate("button => button === document.activeElement"):
            page.keyboard.press("Tab")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text(predicted(api, typed(page)))
    expect(page.get_by_text(OUTDATED)).to_have_count(0)


@pytest.mark.parametrize("path", ["", "?start=mine&color=red&ph=3"], ids=["measured", "assumed"])
def test_answer_prints_on_one_page(visit: Visit, path: str) -> None:
    """With date, version and measurements, and without the form; in dark ink also where the screen is dark."""
    page = visit(path)
    expect(page.get_by_text("Answered by model v0")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    settled(page)
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator(".st-key-paper").get_by_text("Citric acid")).to_be_visible()
    expect(page.get_by_text("Answered by model v0, ")).to_be_visible()
    expect(page.get_by_role("textbox")).to_have_count(0)
    expect(said(page)).to_have_css("color", "rgb(34, 32, 30)")


@pytest.mark.parametrize("path", READY)
def test_page_is_accessible(visit: Visit, path: str) -> None:
    """Nothing that axe counts against WCAG 2.1 AA, light and dark, also with problems and warnings on the page."""
    page = visit(path, (1280, 3000))
    expect(page.get_by_test_id("stMain")).to_contain_text(READY[path])
    for scheme, paper in PAPER.items():
        page.emulate_media(color_scheme=scheme)
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", paper)
        settled(page)
        page.wait_for_function(COLOURS_ARE_FINAL)
        assert barriers(page) == []
    levels = [
        int(name[1]) for name in page.locator("h1, h2, h3, h4, h5, h6").evaluate_all("all => all.map(h => h.tagName)")
    ]
    assert levels[0] == 1
    assert all(next_one - level <= 1 for level, next_one in pairwise(levels)), levels
    if path in ("", "file", "about"):
        page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        shoot(page, f"{path or 'score'}-dark")


def test_times_are_written_down(visit: Visit, waits: list[dict[str, float]]) -> None:
    """How long visitors wait for the first score and for an answer, on this machine, into the report."""
    page = visit()
    expect(said(page)).to_be_visible()
    before = said(page).inner_text()
    fill(page, "Alcohol (% vol)", "12,5")
    press(page, "Score this wine")
    expect(said(page)).not_to_have_text(before)
    waits.append(page.evaluate("window.times"))
    milestones = {
        "words": "first words: {:.0f} ms after a visitor asks for the page, median of {}",
        "score": "a scored wine: {:.0f} ms after a visitor asks for the page, median of {}",
        "answer": "an answer: {:.0f} ms after the button, median of {}",
    }
    lines = ["# The page in a browser", ""]
    lines += [
        "Chromium without a window, page, API and browser on one machine, busy with tests. The pictures lie beside.",
        "",
    ]
    for name, sentence in milestones.items():
        taken = [each[name] for each in waits if name in each]
        assert min(taken) > 0
        lines.append(f"- {sentence.format(statistics.median(taken), len(taken))}")
    (REPORT / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def healthy(dockerfile: str, server: servers.Server, **variables: str) -> bool:
    """What the image's own question finds, where a proxy is set that does not answer."""
    text = (ROOT / dockerfile).read_text().replace("\\\n", "")
    (command,) = re.findall(r"^HEALTHCHECK .*? CMD (\[.*\])$", text, flags=re.MULTILINE)
    dead = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    place = {"PATH": os.environ["PATH"], "PORT": server.address.rpartition(":")[2]}
    asked = subprocess.run(json.loads(command), check=False, capture_output=True, env=place | dead | variables)
    return asked.returncode == 0


def test_page_under_a_path_works(api: servers.Server, window: BrowserContext, tmp_path: Path) -> None:
    """Behind a web server that gives it a path: its health check, the wine, uploads, downloads and links."""
    under = {"STREAMLIT_SERVER_BASE_URL_PATH": "/tools/wine/"}
    with servers.ui(tmp_path / "log", WINE_API_URL=api.address, **under) as site:
        assert healthy("Dockerfile.ui", site, **under)
        assert not healthy("Dockerfile.ui", site)
        assert healthy("Dockerfile.api", api)
        page = window.new_page()
        page.goto(f"{site.address}/tools/wine/")
        expect(page.get_by_text("Answered by model v0")).to_be_visible()
        page.get_by_role("link", name="Score a file").click()
        expect(page).to_have_url(f"{site.address}/tools/wine/file")
        tiny.made_up_wines(5).to_csv(tmp_path / "wines.csv", index=False)
        page.locator("input[type=file]").set_input_files(tmp_path / "wines.csv")
        expect(page.get_by_text("5 of 5 wines scored")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the result").click()
        assert "score" in download.value.path().read_text().splitlines()[0]
        page.close()
