"""The dashboard in a real browser: a live search followed, its end compared, taken away and left as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from automl.study import open_study
from tests.dashboard.serving import CHROMIUM_QUIET, free_port, serving, wait_for
from tests.integration.conftest import ROOT, Workplace, make_workplace

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CHROMIUM = shutil.which("chromium")
SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", ROOT / "build" / "screenshots"))
SIGHTS = [(*size, scheme) for size in (("desktop", 1280, 900), ("phone", 390, 844)) for scheme in ("light", "dark")]
TALL = 2400  # pixels
PAGES = ("", "study", "seeds", "trial", "compare", "data", "model")
VIEWS = ("now", "best", "space", "work")
EVERY = [*(f"study?view={view}" for view in VIEWS), *(name for name in PAGES if name != "study")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return make_workplace(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def search(place: Workplace) -> Iterator[subprocess.Popen[str]]:
    """A search that is at work when the browser opens."""
    process = place.start(budget=30, study_name="live")
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def address(place: Workplace, search: subprocess.Popen[str]) -> Iterator[str]:
    """Of the app, as its own command starts it."""
    with serving(place.folder) as address:
        yield address


def test_0_the_first_start_of_all_asks_for_nothing(tmp_path: Path) -> None:
    """Streamlit would ask for an e-mail address where it has never run, and wait for it."""
    port = free_port()
    line = [sys.executable, "-m", "automl.dashboard", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "BROWSER": "true"}
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(line, cwd=tmp_path, env=environment, text=True, **quiet) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
        assert "mail" not in process.communicate()[0].casefold()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here")
    from playwright.sync_api import sync_playwright

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield context.new_page()
    context.close()


def test_1_a_live_search_is_followed_without_a_reload(address: str, page: Any, search: subprocess.Popen[str]) -> None:
    _until(lambda: _open(page, f"{address}/study?study=live") and page.get_by_text("Running trials").count() > 0)
    page.screenshot(path=SCREENSHOTS / "live.png")
    seen = set()
    ends = time.monotonic() + 90
    while len(seen) < 3 and time.monotonic() < ends:  # the page itself asks for what is new
        seen.add(page.get_by_test_id("stMetricValue").nth(1).inner_text())
        time.sleep(0.5)
    assert len(seen) >= 3, seen
    assert search.wait(timeout=240) == 0
    page.get_by_text("finished", exact=True).wait_for(timeout=60_000)
    _fine(page)


def test_2_every_page_is_drawn_wide_and_narrow_in_light_and_dark(address: str, browser: Any) -> None:
    for size, width, height, scheme in SIGHTS:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        for name in EVERY:
            _open(page, f"{address}/{name}{'&' if '?' in name else '?'}study=live")
            _fine(page)
            across = page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollWidth")
            assert across <= width, f"{name} is {across} pixels wide on a screen of {width}"
            page.set_viewport_size({"width": width, "height": TALL})  # a page scrolls within the window
            page.wait_for_timeout(300)
            page.screenshot(path=SCREENSHOTS / f"{name.replace('?view=', '-') or 'studies'}-{size}-{scheme}.png")
            page.set_viewport_size({"width": width, "height": height})
        context.close()


def test_3_tables_and_figures_are_downloaded(address: str, page: Any) -> None:
    _open(page, f"{address}/study?study=live&view=best")
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").filter(has_text="CSV").first.click()
    lines = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("configuration,technique,mean")
    assert len(lines) > 5
    _open(page, f"{address}/study?study=live&view=now")
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").filter(has_text="HTML").first.click()
    assert "plotly" in Path(download.value.path()).read_text(encoding="utf-8")[:100_000]
    page.get_by_test_id("stPlotlyChart").first.hover()
    with page.expect_download() as download:
        page.locator('.modebar-btn[data-title*="png" i]').first.click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_4_a_link_shows_the_same_to_whoever_gets_it(address: str, page: Any, place: Workplace) -> None:
    complete = [one for one in place.trials() if one.state.name == "COMPLETE"]  # some go on with an earlier trial
    first, second = sorted({one.user_attrs.get("configuration", one.number) for one in complete})[:2]
    _open(page, f"{address}/trial?study=live&trial=3")
    assert page.get_by_role("combobox", name="Trial").input_value() == "3"
    _open(page, f"{address}/compare?study=live&configurations={first}&configurations={second}")
    _fine(page)
    assert page.get_by_text("Rows on which they disagree").count() == 1
    _open(page, f"{address}/compare?what=studies&studies=live")
    assert page.get_by_text("Studies over the same rows, both ended").count() == 1


def test_4_the_menu_keeps_the_study(address: str, page: Any, place: Workplace) -> None:
    url = f"sqlite:///{place.folder / 'runs' / 'studies.db'}"
    with open_study(url, "newer", {"task": "another"}):  # it would be shown where none is chosen
        _open(page, f"{address}/study?study=live")
        for title in ("Seeds and folds", "Trial", "Compare", "Data", "Model", "Study"):
            page.get_by_role("link", name=title, exact=True).first.click()
            page.get_by_role("heading", name="live" if title == "Study" else title, exact=True).first.wait_for()
            _settled(page)
            assert "study=live" in page.url
            _fine(page)
    optuna.delete_study(study_name="newer", storage=url)


def test_5_a_whole_click_through_changes_no_byte_of_the_database(address: str, page: Any, place: Workplace) -> None:
    database = place.folder / "runs" / "studies.db"
    before = database.read_bytes()
    for name in EVERY:
        _open(page, f"{address}/{name}{'&' if '?' in name else '?'}study=live")
        _fine(page)
    _open(page, f"{address}/study?study=live")
    for view, title in zip((*VIEWS[1:], "now"), ("Best configurations", "Search space", "Work", "Now"), strict=True):
        page.get_by_test_id("stButtonGroup").get_by_text(title, exact=True).click()
        page.wait_for_url(f"**view={view}*")
        _settled(page)
        _fine(page)
    for title in ("Seeds and folds", "Trial", "Compare", "Data", "Model", "Studies"):
        page.get_by_role("link", name=title, exact=True).first.click()
        _settled(page)
        _fine(page)
    assert database.read_bytes() == before
    assert {one.name for one in database.parent.glob("studies.db*")} == {"studies.db"}


def test_6_the_model_is_tried_and_exported(address: str, page: Any, tmp_path: Path) -> None:
    _open(page, f"{address}/model?study=live")
    page.get_by_label("A text", exact=True).fill("a good warm film")
    page.get_by_role("button", name="Label it").click()
    page.locator("strong").filter(has_text="positive").first.wait_for(timeout=60_000)
    rows = tmp_path / "rows.csv"
    rows.write_text("id;text\n1;a good warm film\n2;an awful dull story\n")
    page.locator('input[type="file"]').set_input_files(rows)
    _settled(page)
    with page.expect_download() as download:
        page.locator(".st-key-csv-predictions button").click()
    labelled = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert [line.split(",")[:3] for line in labelled[1:]] == [
        ["1", "a good warm film", "positive"],
        ["2", "an awful dull story", "negative"],
    ]
    page.get_by_label("Folder on the machine of this dashboard").fill(str(tmp_path / "taken"))
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_text("The model is in").wait_for(timeout=60_000)
    assert json.loads((tmp_path / "taken" / "result.json").read_text())["study"] == "live"
    _fine(page)


def _open(page: Any, url: str) -> bool:
    """Go there and wait until the app has drawn everything."""
    page.goto(url)
    page.get_by_test_id("stApp").wait_for()
    page.locator("h1").first.wait_for(timeout=30_000)
    _settled(page)
    return True


def _settled(page: Any) -> None:
    """Wait until the app has drawn everything."""
    page.wait_for_function(
        '() => !document.querySelector(\'[data-testid="stStatusWidget"], [data-testid="stSkeleton"]\') '
        "&& document.querySelector('[data-testid=\"stApp\"]').getAttribute('data-test-script-state') === 'notRunning'",
        timeout=60_000,
    )


def _fine(page: Any) -> None:
    """No exception, and nothing in red."""
    assert page.get_by_test_id("stException").count() == 0
    errors = page.locator('[data-testid="stAlertContentError"]').all_inner_texts()
    assert not errors


def _until(holds: Any, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.2)
