"""What a search says while it runs: strict JSON for programs, lines for logs, a table for people."""

import io
import json
import math
import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from threading import Event as Flag
from threading import Thread
from typing import get_args

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from automl.progress import (
    Event,
    Notice,
    PhaseStarted,
    ResultReady,
    Standing,
    StudyStarted,
    Tally,
    TrialEnded,
    TrialReported,
    TrialStarted,
    make_progress,
    text,
)
from automl.progress.json_lines import NAMES
from automl.progress.live import LiveTable
from automl.records import State

PARAMS = {
    "learning_rate": 2.134e-4,
    "num_train_epochs": 6,
    "frozen_layers": 2,
    "warmup_ratio": 0.123456,
    "per_device_train_batch_size": 16,
    "augmentation": "random_edits",
}
SHORT = "lr=2.1e-4 epochs=6 frozen=2 warmup=0.123 batch=16 aug=random_edits"


def study(budget=10, done=0, resumed=0, workers=1, time_limit=None, standings=()):
    model, storage = "sentence-transformers/all-MiniLM-L6-v2", "sqlite:///study.db"
    return StudyStarted("a1", "sst2", model, "macro_f1", budget, done, resumed, workers, storage, time_limit, standings)


def ended(number, value=0.8, state=State.COMPLETE, seconds=10.0, error=None):
    return TrialEnded(number, state, value, seconds, PARAMS, error)


def search():
    """The events of a small search, with things in them that break careless renderers."""
    yield PhaseStarted("training baselines")
    yield study(budget=20, done=4, resumed=1, workers=2, standings=(Standing(2, PARAMS, 1, 0.7),))
    for number in range(4, 12):
        yield TrialStarted(number, PARAMS)
        yield TrialReported(number, 3, 6, 0.81234)
        if number < 10:
            yield ended(number, 0.8 + number / 100, State.PRUNED if number == 9 else State.COMPLETE, 34.4)
    yield ended(10, None, State.FAIL, 3.21, "[bold]out\nof memory\x1b[2J")
    yield TrialStarted(12, {**PARAMS, "note": "長" * 60})
    yield Notice("warning", "the [x] test split\tis small")
    yield ResultReady({"value": 0.9})


def shown(progress):
    with progress:
        for event in search():
            progress.emit(event)


def strict(line):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(line, parse_constant=refuse)


def test_json_is_one_strict_object_a_line_on_stdout_only(capsys):
    shown(make_progress(json=True))
    out, err = capsys.readouterr()
    objects = [strict(line) for line in out.splitlines()]
    assert err == ""
    assert len(objects) == len(list(search()))
    assert all(next(iter(content)) == "event" for content in objects)
    assert objects[1] == {
        **{"event": "study_started", "study": "a1", "task": "sst2", "model": "sentence-transformers/all-MiniLM-L6-v2"},
        **{"metric": "macro_f1", "budget": 20, "done": 4, "resumed": 1, "workers": 2, "storage": "sqlite:///study.db"},
        **{"time_limit": None, "standings": [{"configuration": 2, "params": PARAMS, "trainings": 1, "mean": 0.7}]},
        "leader": None,
    }
    assert objects[4] == {
        **{"event": "trial_ended", "number": 4, "state": "COMPLETE", "value": 0.8 + 4 / 100, "seconds": 34.4},
        **{"params": PARAMS, "error": None, "checkpoint": None, "configuration": None, "leader": None},
    }
    assert objects[-1] == {"event": "result", "value": 0.9}


def test_json_values_are_jsons_own_types():
    @dataclass
    class Interval:
        low: float
        high: np.float32

    payload = {
        "nan": math.nan,
        "deep": [{"inf": (math.inf, -math.inf, np.float64("nan"))}],
        "numpy": [np.int64(3), np.float32(0.5), np.array([1.0, math.nan]), np.bool_(True)],
        "record": Interval(math.nan, np.float32(0.25)),
        "state": State.FAIL,
        5: "keys are text\u2028é",
    }
    stream = io.StringIO()
    make_progress(True, stream).emit(ResultReady(payload))
    assert stream.getvalue().isascii()
    assert stream.getvalue().count("\n") == 1
    assert strict(stream.getvalue()) == {
        "event": "result",
        "nan": None,
        "deep": [{"inf": [None, None, None]}],
        "numpy": [3, 0.5, [1.0, None], True],
        "record": {"low": None, "high": 0.25},
        "state": "FAIL",
        "5": "keys are text\u2028é",
    }


def test_every_event_has_a_name_of_its_own():
    assert set(NAMES) == set(get_args(Event))
    assert len(set(NAMES.values())) == len(NAMES)


def test_plain_lines_go_to_stderr_one_for_each_ended_trial(capsys):
    shown(make_progress(json=False))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert "\x1b" not in err
    assert lines[0] == "training baselines"
    assert lines[1] == (
        "study a1: task sst2, model sentence-transformers/all-MiniLM-L6-v2, metric macro_f1, 20 trials, 4 done before, "
        "1 run again, 2 workers, recorded in sqlite:///study.db"
    )
    trials = [line for line in lines if "| trial " in line]
    assert len(trials) == 7
    assert trials[0] == f"5/20 | trial 4 | COMPLETE 0.8400 in 34s | #4 leads with 0.8400, 4m18s left | {SHORT}"
    assert trials[5].startswith("10/20 | trial 9 | PRUNED 0.8900 in 34s | #8 leads with 0.8800, 2m52s left | ")
    assert trials[6].startswith("11/20 | trial 10 | FAIL - in 3.2s | #8 leads with 0.8800, ")
    assert trials[6].endswith(f"{SHORT} | error: [bold]out of memory [2J")
    assert lines[-1] == "warning: the [x] test split is small"
    assert len(lines) == 2 + 7 + 1


def test_plain_lines_count_what_running_trials_have_done(capsys, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    lines = make_progress(json=False)
    for event in (study(budget=3, workers=2), TrialStarted(0, PARAMS), TrialStarted(1, PARAMS)):
        lines.emit(event)
    now += 40
    lines.emit(ended(0, seconds=40))
    assert "#0 leads with 0.8000, 20s left" in capsys.readouterr().err  # of 2 x 40 s, 40 are done


def live(width, height=40):
    """A live table on a terminal of that size; its console records what was drawn."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, record=True)
    return LiveTable(console), console


def test_the_title_has_every_model_that_is_searched():
    table, console = live(100)
    table.emit(replace(study(), model="BAAI/bge-small-en-v1.5, models/mine"))
    console.export_text()
    console.print(table._picture())
    assert console.export_text().splitlines()[0].startswith("sst2 · bge-small-en-v1.5, mine · macro_f1")


@pytest.mark.parametrize("width", [80, 120])
def test_live_picture_fits_and_says_it_all(width):
    table, console = live(width)
    for event in search():
        table.emit(event)
    console.export_text()  # forget what was printed above
    console.print(table._picture())
    picture = console.export_text()
    lines = [line.rstrip() for line in picture.splitlines()]
    assert all(cell_len(line) <= width for line in lines), picture
    assert lines[0] == "sst2 · all-MiniLM-L6-v2 · macro_f1 · study a1"
    assert re.fullmatch(r"━{16}─{14} 11/20 trials · 0\.\ds · about 2m\d\ds left", lines[1])
    assert lines[2] == "5 complete · 1 pruned · 1 failed · 4 done before · 1 run again"
    running = next(line for line in lines if "#11" in line)
    assert re.fullmatch(r" +#11  ━{4}─{4} 3/6 +0\.8123 +lr=2\.1e-4 epochs=6 .+", running)
    assert "starting" in next(line for line in lines if "#12" in line)
    assert "#10" not in picture
    assert re.findall(r"(#\d+) +1 time +(0\.\d+)", picture) == [(f"#{n}", f"0.8{n}00") for n in (8, 7, 6, 5, 4)]
    assert (SHORT in running) == (width == 120), "params are whole where there is room"
    assert "…" in next(line for line in lines if "#12" in line), "and cut, not wrapped, where there is none"


def test_live_shows_failures_notices_and_phases_as_they_were_written():
    table, console = live(120)
    table.emit(study())
    table.emit(ended(3, None, State.FAIL, error="[bold]out\nof memory\x1b[2J"))
    table.emit(Notice("warning", "the [x] split"))
    table.emit(TrialStarted(4, {"augmentation": "[red]edits"}))
    table.emit(PhaseStarted("reading the [test] split"))
    console.print(table._picture())
    written = console.export_text()
    assert "trial 3 failed: [bold]out of memory [2J\n" in written
    assert "warning: the [x] split\n" in written
    assert "aug=[red]edits" in written
    assert "... reading the [test] split" in written


def test_live_leaves_a_last_picture_without_what_was_running():
    table, console = live(80)
    with table:
        for event in (
            study(budget=2),
            TrialStarted(0, PARAMS),
            ended(0),
            TrialStarted(1, PARAMS),
            PhaseStarted("testing"),
        ):
            table.emit(event)
    written = console.file.getvalue()
    last = written[written.rindex("sst2 · ") :]
    assert "#0" in last
    assert "#1" not in last
    assert "running" not in last
    assert "testing" not in last
    assert "left" not in last
    assert last.endswith("\n\x1b[?25h"), "the cursor is back, below the picture"


@pytest.mark.parametrize(("height", "rows"), [(18, 4), (12, 1), (60, 8)])
def test_many_running_trials_do_not_push_the_picture_off_the_screen(height, rows):
    table, console = live(80, height)
    for event in [study(budget=99), *(ended(n) for n in range(6)), *(TrialStarted(n, PARAMS) for n in range(10, 40))]:
        table.emit(event)
    console.print(table._picture())
    picture = console.export_text()
    assert picture.count("starting") == rows
    assert f"and {30 - rows} more running" in picture
    assert rows == 1 or picture.count("\n") <= height


def test_drawing_from_another_thread_never_breaks_or_blocks():
    table, _ = live(80)
    errors, stop = [], Flag()

    def draw():
        try:
            while not stop.wait(0.001):
                table._live.refresh()
        except Exception as error:
            errors.append(error)

    def emit():
        for number in range(100):
            for event in (TrialStarted(number, PARAMS), Notice("info", "still here"), ended(number - 2)):
                table.emit(event)

    with table:
        table.emit(study(budget=300))
        artist, emitter = Thread(target=draw, daemon=True), Thread(target=emit, daemon=True)
        artist.start()
        emitter.start()
        emitter.join(30)
        stop.set()
        artist.join(5)
    assert not emitter.is_alive()
    assert not artist.is_alive()
    assert not errors


SCRIPT = """
import sys, warnings
sys.path.insert(0, "tests")
from automl.progress import make_progress
from test_progress import search
with make_progress(json=False) as progress:
    for event in search():
        progress.emit(event)
    print("a library talks", file=sys.stderr)
    print("the result")
"""


def on_a_terminal(**environment):
    """(stdout, what the terminal on stderr got) of a search in a process of its own."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "PYTHONPATH": ".", **environment}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=follower, env=env)
    os.close(follower)
    received = b""
    while True:
        try:
            block = os.read(leader, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        received += block
    os.close(leader)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, received
    return out.decode(), received.decode()


def test_a_real_terminal_gets_the_table_and_stdout_only_the_result():
    out, terminal = on_a_terminal()
    assert out == "the result\n"
    assert terminal.count("\x1b[?25l") == 1, "the cursor is hidden once"
    assert terminal.endswith("\x1b[?25h"), "and is back at the end"
    assert "11/20 trials" in terminal
    assert "\x1b[2J" not in terminal
    assert terminal.count("a library talks") == 1
    assert terminal.rindex("11/20 trials") > terminal.index("a library talks")


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"PYTHONIOENCODING": "latin-1"}])
def test_terminals_that_cannot_draw_get_lines(environment):
    _, terminal = on_a_terminal(**environment)
    assert terminal.count("| trial ") == 7
    assert "\x1b" not in terminal


def test_rich_is_imported_for_the_table_only():
    code = "import sys; from automl.progress import make_progress; make_progress(json={}); print('rich' in sys.modules)"
    for as_json in (True, False):
        command = [sys.executable, "-c", code.format(as_json)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_remaining_time_is_unknown_until_a_trial_has_ended():
    tally = Tally(study(budget=10, done=4, time_limit=60))
    tally.start(4, 0)
    assert tally.remaining(30) is None
    assert tally.ended == 4


def test_remaining_time_follows_mean_workers_and_what_is_running():
    tally = Tally(study(budget=10, done=4, workers=2))
    for number in (4, 5):
        tally.start(number, 0)
    tally.end(ended(4, seconds=10))
    assert tally.remaining(10) == (5 * 10 - 10) / 2  # trial 5 is as good as done
    tally.end(ended(5, state=State.PRUNED, seconds=20))
    assert tally.ended == 6
    assert tally.remaining(20) == 4 * 15 / 2
    for number in (6, 7):
        tally.start(number, 20)
    assert tally.remaining(25) == (4 * 15 - 2 * 5) / 2
    assert tally.remaining(500) == (4 * 15 - 2 * 15) / 2, "a slow trial takes no more than its share off"
    for number in (6, 7, 8):
        tally.end(ended(number, seconds=15))
    assert tally.remaining(60) == 15, "one trial cannot use two workers"
    tally.end(ended(9, seconds=15))
    assert tally.remaining(75) == 0


def test_remaining_time_is_never_more_than_the_limit_leaves():
    tally = Tally(study(budget=100, time_limit=60))
    tally.end(ended(0, seconds=10))
    assert tally.remaining(10) == 50
    assert tally.remaining(70) == 0


def test_only_complete_trainings_with_a_value_count():
    tally = Tally(study(standings=(Standing(7, PARAMS, 1, 0.5),)))
    seen = []
    for number, value, state in [
        (0, 0.4, State.COMPLETE),
        (1, 0.9, State.PRUNED),
        (2, math.nan, State.COMPLETE),
        (3, None, State.FAIL),
        (4, 0.6, State.COMPLETE),
        (5, math.nan, State.COMPLETE),
        (6, 0.55, State.COMPLETE),
    ]:
        tally.end(ended(number, value, state))
        seen.append(tally.leaders(1)[0].mean)
    assert seen == [0.5, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6]
    assert tally.counts == {State.COMPLETE: 5, State.PRUNED: 1, State.FAIL: 1}
    first = Tally(study())
    first.end(ended(0, math.nan))
    assert first.leaders(5) == []


def test_who_was_trained_on_more_folds_leads_a_lucky_one():
    tally = Tally(study(standings=(Standing(0, PARAMS, 2, 0.7),)))
    for number, configuration, value in [(1, None, 0.9), (2, None, 0.85), (3, 0, 0.76), (4, 2, 0.65), (5, 1, 0.4)]:
        tally.end(replace(ended(number, value), configuration=configuration))
    found = [(one.configuration, one.trainings, pytest.approx(one.mean)) for one in tally.leaders(5)]
    assert found == [(0, 3, 0.72), (2, 2, 0.75), (1, 2, 0.65)]


def test_who_leads_as_the_search_counts_comes_first_though_another_came_further():
    further, fewer = Standing(0, PARAMS, 6, 0.77), Standing(1, PARAMS, 2, 0.92)
    tally = Tally(replace(study(standings=(further, fewer)), leader=1))
    assert tally.leaders(2) == [fewer, further]
    tally.end(replace(ended(2, 0.5), leader=0))
    assert tally.leaders(2) == [further, fewer]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(2.1e-4, "2.1e-4"), (9.96e-5, "1.0e-4"), (5e-05, "5.0e-5"), (0.00999, "1.0e-2"), (0.01, "0.01"), (0.0, "0")],
        *[
            (0.123456, "0.123"),
            (-2e-4, "-2.0e-4"),
            (12.0, "12"),
            (123456.0, "1.2e5"),
            (math.nan, "nan"),
            (math.inf, "inf"),
        ],
    ],
)
def test_numbers(value, expected):
    assert text.number(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *[(0, "0.0s"), (3.24, "3.2s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1m00s"), (725, "12m05s")],
        *[(3599.7, "1h00m"), (7384, "2h03m"), (86399.9, "1d00h"), (273600, "3d04h")],
    ],
)
def test_durations(seconds, expected):
    assert text.duration(seconds) == expected
