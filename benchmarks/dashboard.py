"""The dashboard's figures: how fast a large study opens in a browser, and what watching costs a search.

    python -m benchmarks.dashboard                      # a study of 5,000 trials, in Chromium
    python -m benchmarks.dashboard --slowdown           # a search alone, and with three browsers that follow it

open     from the click on a link until the page stands still, each in a browser that was never there
refresh  the same page drawn again when another trial has ended and what was read of the study stands no longer
slowdown wall time of the same search with three browsers open over that without, in turns, median of the ratios. The
         browsers have the lowest priority: what they take belongs to the machines of those who watch.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from automl.dashboard.store import LONGEST
from automl.records import State
from automl.study import open_study
from tests.dashboard.serving import CHROMIUM_QUIET, serving
from tests.dashboard.studies import IDENTITY, make_large, params, run
from tests.integration.conftest import make_workplace

STILL = """() => document.querySelector('h1') !== null && document.querySelector('[data-testid="stApp"]')
    .getAttribute('data-test-script-state') === 'notRunning'"""
RUNS = """() => { const app = document.querySelector('[data-testid="stApp"]'); window.runs = 0;
    new MutationObserver(() => { window.runs += app.getAttribute('data-test-script-state') === 'running' })
    .observe(app, { attributes: true, attributeFilter: ['data-test-script-state'] }) }"""
STILL_SECONDS = 0.5
REFRESHES = 3
TRIALS = 24
SPACE = """\
name: of one cost
params:
  learning_rate: {type: float, low: 1.0e-3, high: 6.0e-3, log: true, default: 2.0e-3}
  num_train_epochs: 20
  per_device_train_batch_size: 8
"""
PLACES = ("", "study?view=now", "study?view=best", "study?view=space", "study?view=work", "seeds", "trial")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000, metavar="N")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    parser.add_argument("--slowdown", action="store_true")
    parser.add_argument("--browsers", type=int, default=3, metavar="N")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="automl-dashboard-") as folder, browser() as chromium:
        if options.slowdown:
            print(json.dumps(slowdown(Path(folder), chromium, options.repeats, options.browsers), indent=1))
        else:
            print(json.dumps(large(Path(folder), chromium, options.trials, options.repeats), indent=1))


def large(folder: Path, chromium: Any, trials: int, repeats: int) -> dict[str, Any]:
    """Seconds by page: of the first open after the start of the app, the median of further ones, and of refreshes."""
    url = f"sqlite:///{folder / 'studies.db'}"
    make_large(url, trials=trials)
    found: dict[str, Any] = {}
    for place in PLACES:
        opened = []
        with serving(folder, AUTOML_STORAGE=url) as address:
            for _ in range(repeats):
                with tab(chromium) as page:
                    opened.append(_seconds(partial(page.goto, f"{address}/{place}"), page))
            with tab(chromium) as page:
                _seconds(partial(page.goto, f"{address}/{place}"), page)
                refreshed = [_refreshed(url, page) for _ in range(REFRESHES)]
        found[place] = {
            "first": round(opened[0], 2),
            "open": round(median(opened[1:]), 2),
            "refresh": round(median(refreshed), 2),
        }
        print(place, found[place], file=sys.stderr, flush=True)
    return {"trials": trials, "seconds": found}


def _refreshed(url: str, page: Any) -> float:
    """Seconds until a trial that has just ended is on the page."""
    with open_study(url, "large", IDENTITY) as study:
        run(study, params(random.Random()), (0.5, 0.6, 0.7, 0.75, 0.8), State.COMPLETE)
    time.sleep(LONGEST + 0.1)
    page.evaluate(RUNS)

    def press() -> None:
        page.keyboard.press("r")
        page.wait_for_function("window.runs > 0", timeout=10_000)

    return _seconds(press, page)


def slowdown(folder: Path, chromium: Any, repeats: int, browsers: int) -> dict[str, Any]:
    """Wall seconds of a search without and with browsers, in turns."""
    pairs = []
    for number in range(repeats):
        seconds = {}
        for watched in (False, True) if number % 2 else (True, False):
            place = make_workplace(folder / f"{number}-{watched}", rows=1000, space=SPACE)
            with ExitStack() as stack:
                if watched:
                    address = stack.enter_context(serving(place.folder))
                    for _ in range(browsers):
                        page = stack.enter_context(tab(chromium))
                        _seconds(partial(page.goto, f"{address}/study?study=watched"), page)
                began = time.monotonic()
                done = place.run(budget=TRIALS, study_name="watched")
                seconds[watched] = time.monotonic() - began
                if done.code:
                    sys.exit(done.errors)
        pairs.append((round(seconds[False], 1), round(seconds[True], 1)))
        print(pairs[-1], file=sys.stderr, flush=True)
    return {"pairs": pairs, "ratio": round(median(watched / alone for alone, watched in pairs), 3)}


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        last_in_line = Path(folder) / "chromium"
        # Linux shares processors between sessions first, so the priority has to be that of the session, too; and root's
        # browser would raise its own again.
        lowest = "echo 19 > /proc/self/autogroup; exec setpriv --bounding-set=-sys_nice nice -n 19"
        last_in_line.write_text(f'#!/bin/sh\n{lowest} {shutil.which("chromium")} "$@"\n')
        last_in_line.chmod(0o700)
        chromium = playwright.chromium.launch(executable_path=last_in_line, args=CHROMIUM_QUIET)
        yield chromium
        chromium.close()


@contextmanager
def tab(chromium: Any) -> Iterator[Any]:
    """A page of a browser that was never there."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def _seconds(act: Callable[[], Any], page: Any) -> float:
    """From an act until the page stands still, which it has to do for a moment."""
    began = time.monotonic()
    act()
    since = None
    while since is None or time.monotonic() - since < STILL_SECONDS:
        since = (since or time.monotonic()) if page.evaluate(STILL) else None
        time.sleep(0.01)
    return since - began


if __name__ == "__main__":
    main()
