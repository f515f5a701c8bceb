"""The benchmark of the search: equal rows for all, a hard end, its own scores, and records that are not made twice."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import search
from benchmarks.search_cells import Cell, read_rows, shares, subsample, unused, write_rows
from benchmarks.search_plot import plot
from benchmarks.search_process import run_limited
from benchmarks.search_rivals import OUTCOME, Order, Tally, read_data, stop_at
from benchmarks.search_runs import leaders_means
from benchmarks.search_score import HEAD, predict
from benchmarks.search_setfit import iterations
from benchmarks.search_table import compared, honesty, honesty_lines, print_table
from benchmarks.search_trainer import compete, keep_finished
from tests.tiny import BAD, GOOD, make_model, make_rows, write_jsonl

CELL = "data-40"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks") / "data"
    rows = make_rows(160, seed=0)
    write_rows(folder / "train.jsonl", [*rows, {**rows[0], "text": rows[0]["text"].upper()}])
    write_rows(folder / "test.jsonl", [*make_rows(50, seed=1), *rows[-5:]])
    write_jsonl(folder / "validation.jsonl", [{"text": "for nobody", "label": "positive"}])
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), layers=1)


def test_a_subsample_is_the_same_for_all_and_holds_no_test_text(data: Path) -> None:
    cell = Cell(data, 100, 1.0)
    rows = subsample(cell, seed=0)
    assert rows == subsample(cell, seed=0)
    assert rows != subsample(cell, seed=1)
    assert len({row["text"].casefold() for row in rows}) == 100
    assert not {row["text"] for row in rows} & {row["text"] for row in read_rows(data / "test.jsonl")}
    everything = Counter(row["label"] for row in read_rows(data / "train.jsonl"))
    drawn = Counter(row["label"] for row in rows)
    assert drawn["positive"] / 100 == pytest.approx(everything["positive"] / everything.total(), abs=0.03)


def test_unused_rows_are_training_rows_that_a_run_did_not_get(data: Path) -> None:
    cell = Cell(data, 100, 1.0)
    rows = subsample(cell, seed=0)
    rest = [row["text"] for row in unused(cell, rows, seed=0)]
    pool = {row["text"] for row in read_rows(data / "train.jsonl")} - {
        row["text"] for row in read_rows(data / "test.jsonl")
    }
    assert not set(rest) & {row["text"] for row in rows}
    assert len(rest) == len(set(rest)) == len({text.casefold() for text in pool}) - 100


def test_every_label_gets_two_rows_and_the_others_pay_for_it() -> None:
    assert shares({"rare": 3, "some": 97, "most": 900}, 20) == {"most": 16, "rare": 2, "some": 2}
    assert shares({"a": 50, "b": 50}, 100) == {"a": 50, "b": 50}
    assert sum(shares({"a": 333, "b": 333, "c": 334}, 100).values()) == 100
    with pytest.raises(ValueError, match="5 rows of 3 labels"):
        shares({"a": 5, "b": 5, "c": 5}, 5)


def test_a_process_is_killed_with_all_it_started_even_what_left_its_session(tmp_path: Path) -> None:
    sleeper = "import time; time.sleep(60)"
    stray = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {sleeper!r}], start_new_session=True)"
    code = f"{stray}; print(p.pid, flush=True); {sleeper}"
    ended = run_limited([sys.executable, "-c", code], 1.0, tmp_path, {})
    assert ended.code is None
    assert 1 <= ended.seconds < 5
    ((second, line),) = ended.lines
    assert second < 1
    assert not _alive(int(line))


def test_what_a_process_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    sleeper = "import time; time.sleep(60)"
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {sleeper!r}]).pid); sys.exit(3)"
    ended = run_limited([sys.executable, "-c", code], 30.0, tmp_path, {})
    assert ended.code == 3
    assert not _alive(int(ended.lines[0][1]))


@pytest.fixture(scope="module")
def _warm(data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Imports take seconds, which a run's limit counts and a test's cannot."""
    for rival in ("grid", "trainer"):
        compete(_order(rival, data, model, tmp_path_factory.mktemp("warm"), limit=1.1))


@pytest.mark.usefixtures("_warm")
@pytest.mark.parametrize("rival", ["grid", "random", "trainer"])
def test_a_rival_leaves_a_model_that_learned_within_its_time(
    rival: str, data: Path, model: Path, tmp_path: Path
) -> None:
    order = _order(rival, data, model, tmp_path, limit=10.0)
    compete(order)
    assert time.monotonic() - order.began < 2 * order.limit  # however busy the machine is
    outcome = json.loads((tmp_path / "model" / OUTCOME).read_text(encoding="utf-8"))
    assert outcome["tried"] >= 2
    assert [value for _, value in outcome["curve"]] == sorted(value for _, value in outcome["curve"])
    assert outcome["versions"]["transformers"]
    split = read_data(order)
    predicted = predict(tmp_path / "model", split.validation_texts)
    from safetensors.torch import load_file

    true = [split.names[label] for label in split.validation_labels]
    right = [a == b for a, b in zip(predicted, true, strict=True)]
    started = load_file(model / "model.safetensors")["encoder.layer.0.output.dense.weight"]
    ended = load_file(tmp_path / "model" / "model.safetensors")["bert.encoder.layer.0.output.dense.weight"]
    assert not started.equal(ended)
    if rival != "grid":  # its score is the mean over two seeds
        assert sum(right) / len(right) == pytest.approx(outcome["validation"])


def test_a_training_is_stopped_at_its_deadline_and_not_before() -> None:
    from transformers import TrainerControl

    control = TrainerControl()
    stop_at(time.monotonic() + 60).on_step_end(None, None, control)  # type: ignore[arg-type]
    assert not control.should_training_stop
    stop_at(time.monotonic()).on_step_end(None, None, control)  # type: ignore[arg-type]
    assert control.should_training_stop


def test_a_trial_of_the_trainers_search_counts_once_by_its_last_evaluation() -> None:
    from torch import nn
    from transformers import TrainerControl, TrainerState

    tally, control, model = Tally(0.0), TrainerControl(), nn.Linear(1, 1)
    keep = keep_finished(tally)
    given: dict[str, Any] = {"metrics": {"eval_accuracy": 0.7}, "model": model}
    keep.on_evaluate(None, TrainerState(), control, **given)  # type: ignore[arg-type]
    assert not tally.tried
    control.should_training_stop = True
    keep.on_evaluate(None, TrainerState(), control, **given)  # type: ignore[arg-type]
    before = model.weight.item()
    nn.init.constant_(model.weight, 9.0)
    given["metrics"]["eval_accuracy"] = 0.6
    keep.on_evaluate(None, TrainerState(), control, **given)  # type: ignore[arg-type]
    assert [run["value"] for run in tally.tried] == [0.7, 0.6]
    assert tally.best["value"] == 0.7
    assert tally.kept["weight"].item() == before


def test_rivals_cut_validation_rows_of_every_label_from_their_own(data: Path, model: Path, tmp_path: Path) -> None:
    order = _order("grid", data, model, tmp_path, limit=1.0)
    split, again = read_data(order), read_data(order)
    assert split == again
    assert len(split.validation_texts) == 8
    assert not set(split.train_texts) & set(split.validation_texts)
    assert set(split.validation_labels) == {0, 1}


def test_a_linear_head_on_mean_pooled_states_is_scored_as_its_numbers_say(model: Path, tmp_path: Path) -> None:
    """States of a text of one word are those of its tokens: the head that separates them separates the texts."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    encoder, tokenizer = AutoModel.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    encoder.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with torch.inference_mode():
        good, bad = (encoder(**tokenizer(word, return_tensors="pt"))[0].mean(1)[0] for word in (GOOD[0], BAD[0]))
    weights, middle = good - bad, (good + bad) / 2
    head = {"labels": ["bad", "good"], "weights": [weights.tolist()], "normalize": False}
    bias = [-float(weights @ middle)]
    (tmp_path / HEAD).write_text(json.dumps({**head, "bias": bias}), encoding="utf-8")
    assert predict(tmp_path, [GOOD[0], BAD[0], GOOD[0]]) == ["good", "bad", "good"]
    three = {**head, "labels": ["a", "b", "c"], "weights": [[0.0] * len(weights)] * 3, "bias": [0.0, 2.0, 1.0]}
    (tmp_path / HEAD).write_text(json.dumps(three), encoding="utf-8")
    assert predict(tmp_path, [GOOD[0]]) == ["b"]


def test_pairs_of_setfit_are_as_many_as_fit_and_one_at_least() -> None:
    assert iterations(120, 80) == 3
    assert iterations(300, 800) == 1
    assert iterations(1, 800) == 1


def test_what_is_drawn_of_our_run_is_the_mean_of_who_led_not_the_luckiest_value() -> None:
    def over(number: int, value: float | None, leader: int | None, of: int | None = None) -> dict[str, Any]:
        state = "PRUNED" if value is None else "COMPLETE"
        own = {"number": number, "configuration": of, "state": state, "value": value, "leader": leader}
        return {"event": "trial_ended", **own}

    told = [over(0, None, None), over(1, 0.8, 1), over(2, 0.9, 1), over(3, 0.95, 1, of=2), over(4, 0.7, 1, of=1)]
    events = [(1.04, {"event": "study_started"}), *((10.0 * (n + 1), event) for n, event in enumerate(told))]
    assert leaders_means(events) == [(20.0, 0.8), (50.0, 0.75)]


@pytest.mark.slow
def test_a_run_is_recorded_once_and_scored_by_the_benchmark(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    command = ["--data", str(data), "--model", str(model), "--results", str(results), "--quick", "--only", "grid"]
    _run([*command, "--subsamples", "1"])
    (record,) = json.loads(results.read_text(encoding="utf-8"))
    assert (record["cell"], record["competitor"], record["subsample"]) == (CELL, "grid", 0)
    assert 0 <= record["test"] <= 1
    assert record["seconds"] < 1.1 * record["limit"]
    assert record["tried"] == 6
    assert {"validation", "tried", "curve", "versions", "stopped", "limit", "chosen"} <= set(record)

    results.write_text(json.dumps([record | {"test": 0.123}]), encoding="utf-8")
    _run([*command, "--subsamples", "1"])
    (again,) = json.loads(results.read_text(encoding="utf-8"))
    assert again["test"] == 0.123
    assert "12.3" in capsys.readouterr().out


def test_unknown_cells_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        search.main(["--data", str(data), "--quick", "--cells", "data-7"])
    assert f"no data-7; there are {CELL}" in capsys.readouterr().err


def test_the_table_compares_equal_subsamples_and_tells_what_was_killed(capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        *(_record("ours", seed, test) for seed, test in enumerate([0.80, 0.90, 0.70])),
        *(_record("trainer", seed, test) for seed, test in [(0, 0.70), (1, 0.82), (7, 0.10)]),
        _record("setfit", 0, None),
    ]
    assert compared(records, CELL, "trainer") == pytest.approx((0.09, 0.01))
    assert compared(records, CELL, "setfit") is None
    print_table(records, [CELL], missing=["setfit_mended"])
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if line.startswith(CELL)}
    assert "80.0 ± 5.8" in lines["ours"]
    assert "9.0 ± 1.0" in lines["trainer"]
    assert "1 killed" in lines["setfit"]
    assert "no run" in lines["grid"]
    assert "not installed" in lines["setfit_mended"]


def test_honesty_counts_estimates_and_intervals_and_names_other_claims() -> None:
    estimate = {"value": 0.82, "low": 0.78, "high": 0.86}
    records = [
        _record("ours", 0, 0.80) | {"estimate": estimate, "claimed_test": 0.80},
        _record("ours", 1, 0.70) | {"estimate": estimate, "claimed_test": 0.74},
        _record("ours", 2, 0.90) | {"estimate": estimate},
        _record("ours", 3, None),
        _record("grid", 0, 0.5),
    ]
    told = honesty(records)
    assert told is not None
    assert told == pytest.approx({"runs": 3, "difference": 0.02, "error": 0.0577, "covered": 1 / 3}, rel=0.01)
    estimates, claim = honesty_lines(records)
    assert estimates.startswith("ours: estimate - score on test rows 2.0 ± 5.8 points over 3 runs")
    assert "subsample 1, ours: claims 0.7400 on test, scored 0.7000" in claim
    assert honesty(records[4:]) is None
    further = honesty([records[0] | {"unused": 0.83}, *records[1:]], of="unused")
    assert further == pytest.approx({"runs": 1, "difference": -0.01, "error": math.nan, "covered": 1}, nan_ok=True)


def test_the_plot_names_its_axes_and_all_who_ran(tmp_path: Path) -> None:
    records = [_record("ours", 0, 0.8), _record("ours", 1, 0.7), _record("setfit", 0, 0.6), _record("grid", 0, None)]
    plot(records, [CELL, "other-10"], tmp_path / "docs" / "search.svg")
    drawn = (tmp_path / "docs" / "search.svg").read_text(encoding="utf-8")
    for words in (
        "seconds",
        "accuracy",
        "ours, test",
        "ours, validation: mean of who leads",
        "setfit, test",
        "time limit",
    ):
        assert words in drawn
    assert "grid, test" not in drawn


def _order(rival: str, data: Path, model: Path, folder: Path, limit: float) -> Order:
    write_rows(folder / "train.jsonl", subsample(Cell(data, 40, limit), 0))
    (folder / "model").mkdir()
    output = str(folder / "model")
    return Order(rival, str(folder / "train.jsonl"), str(model), output, limit, 0, time.monotonic())


def _record(competitor: str, seed: int, test: float | None) -> dict[str, Any]:
    record = {"cell": CELL, "competitor": competitor, "subsample": seed, "test": test, "seconds": 10.0 + seed}
    if test is None:
        return record | {"stopped": "killed", "limit": 12.0}
    curve = [[2.0, 0.6], [4.0, 0.75]]
    return record | {"stopped": "finished", "limit": 12.0, "validation": 0.75, "tried": 2, "curve": curve}


def _run(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        search.main(arguments)
    assert ended.value.code == 0


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_records_of_several_machines_or_versions_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"competitor": "ours", "code": "a", "machine": "old"}
    search._tell_mixtures([one, {**one, "competitor": "grid", "code": "b"}])
    assert not capsys.readouterr().err
    search._tell_mixtures([one, {**one, "code": "b", "machine": "new"}])
    assert capsys.readouterr().err.splitlines() == [
        "ours: these are runs of 2 versions of the code",
        "these are runs on 2 machines: new; old",
    ]
