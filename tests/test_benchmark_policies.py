"""Curves of real trials are recorded, go on where they were stopped, and policies are compared over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from automl.tuning.curves import Table, read_table, write_table
from automl.tuning.simulate import Workers
from benchmarks import curves, policies
from benchmarks.curves_drawn import made_up
from benchmarks.policies_replay import OURS, RANDOM, WAYS, Moment, Recording, recording, replay
from tests.tiny import make_model, make_rows, write_jsonl

SPACE = """\
name: small
techniques:
  head:
    params:
      technique: features
      logistic_regression_c: {type: float, low: 0.01, high: 10.0, log: true}
  top:
    params:
      technique: fine_tuning
      num_train_epochs: 2
      frozen_layers: {type: layers, low: 0.34, high: 0.67}
      learning_rate: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "made.jsonl.gz"
    write_table(path, made_up("fast", 30, seed=0))
    return path


@pytest.fixture(scope="module")
def known(made: Path) -> Recording:
    return recording(read_table(made))


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """To record four configurations of a tiny model."""
    folder = tmp_path_factory.mktemp("data")
    write_jsonl(folder / "train.jsonl", make_rows(60, seed=0))
    write_jsonl(folder / "test.jsonl", make_rows(20, seed=1))
    (folder / "small.yaml").write_text(SPACE, encoding="utf-8")
    given = {
        "task": folder,
        "model": make_model(tmp_path_factory.mktemp("model")),
        "output": folder / "tiny.jsonl.gz",
        "search-space": folder / "small.yaml",
        "configurations": 4,
        "rows": 50,
        "workers": 0,
    }
    return [text for name, value in given.items() for text in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def recorded(command: list[str]) -> Table:
    curves.main(command)
    return read_table(Path(command[command.index("--output") + 1]))


def test_real_curves_have_their_steps_values_and_seconds_in_every_cell(recorded: Table) -> None:
    assert [one.params["arm"] for one in recorded.recorded] == ["head", "top"] * 2
    for one in recorded.recorded:
        assert len(one.curves) == 3
        for curve in one.curves:
            assert curve.error is None
            steps = [8] if one.params["arm"] == "head" else [1, 2, 4, 6, 8]
            assert [point.step for point in curve.points] == steps
            seconds = [point.seconds for point in curve.points]
            assert 0 <= seconds[0] <= seconds[-1] == curve.seconds
            assert all(0 <= point.value <= 1 and point.loss > 0 for point in curve.points)
            assert curve.examples == (40 if one.params["arm"] == "head" else 80)
    assert recorded.facts["cells"] == [[0, 0], [1, 1], [2, 2]]
    assert recorded.space.written.name == "small"
    losses = {one.curves[cell].points[-1].loss for one in recorded.recorded for cell in range(3)}
    assert len(losses) > 8, "each is a training of its own"


def test_what_was_recorded_before_is_not_recorded_again(
    recorded: Table, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Path(command[command.index("--output") + 1]).with_suffix(".part")
    lines = part.read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(lines) == 1 + 12
    part.write_text("".join(lines[:-2]) + lines[-2][:20], encoding="utf-8")  # it was killed while it wrote
    orders: list[Any] = []
    recorder = curves.recorder

    def counted(crew: curves.Crew) -> Any:
        record = recorder(crew)
        return lambda order: orders.append(order) or record(order)

    monkeypatch.setattr(curves, "recorder", counted)
    curves.main(command)
    assert [(order["number"], order["fold"], order["seed"]) for order in orders] == [(10, 1, 1), (11, 2, 2)]
    again = read_table(Path(command[command.index("--output") + 1]))
    assert [[c.value for c in one.curves] for one in again.recorded] == [
        [c.value for c in one.curves] for one in recorded.recorded
    ]


@pytest.mark.usefixtures("recorded")
def test_another_set_up_does_not_go_on_with_the_same_file(command: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"tiny\.jsonl\.part: recorded with another data, rows; remove it"):
        curves.main([*command, "--rows", "40"])


def test_random_search_stops_nothing_and_knows_one_fold(known: Recording) -> None:
    found = replay(known, WAYS[RANDOM], 0, Workers(2, finals=False, obedient=False), budget=12)
    assert found.trials == 12
    seen = [moment.seen for moment in found.moments]
    assert len(seen) == 12
    assert seen == sorted(seen)
    busy = [moment.busy for moment in found.moments]
    assert busy == sorted(busy)
    assert busy[-1] == pytest.approx(found.usage.busy, abs=0.01)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_the_same_twice_and_keeps_the_time_that_it_is_given(known: Recording, way: str) -> None:
    workers = Workers(2, finals=False, obedient=WAYS[way].pruning)
    first, again = (replay(known, WAYS[way], 3, workers, until=100.0) for _ in range(2))
    assert first == again
    assert first.moments
    assert first.usage.seconds <= 100


def test_the_worth_of_a_choice_is_its_mean_over_what_was_recorded(known: Recording) -> None:
    found = replay(known, WAYS[OURS], 0, Workers(1, finals=False), budget=20)
    worths = {round(one.value, 5) for one in known.table.recorded}
    assert {moment.worth for moment in found.moments} <= worths


def test_time_counts_until_the_target_is_reached_first() -> None:
    moments = [Moment(2.0, 0.8, 0.7), Moment(5.0, 0.8, 0.75), Moment(9.0, 0.9, 0.72)]
    assert [policies.reached(moments, "worth", goal) for goal in (0.7, 0.72, 0.76)] == [2, 5, float("inf")]
    assert policies.reached(moments, "seen", 0.9) == 9


def test_the_figures_have_the_names_that_readers_rely_on(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--replays", "2", "--budget", "6", "--processes", "0", "--trials-a-worker", "1", "--usage-replays", "1"]
    policies.main([str(made), *quick, "--json"])
    figures = json.loads(capsys.readouterr().out)["made"]
    assert set(figures["cost"]) == set(WAYS)
    for one in figures["cost"].values():
        assert set(one) == {"ends_worth", "spent", *policies.TARGETS}
        assert all(set(one[target]) == {"seconds", "reached", "ratio"} for target in policies.TARGETS)
    assert figures["cost"][RANDOM]["worth"]["reached"] == figures["cost"][RANDOM]["worth"]["ratio"] == 1
    assert [(row["workers"], row["deaths_per_hour"]) for row in figures["workers"]] == [
        (count, rate) for count in (1, 2, 8, 64) for rate in (0.0, 20.0)
    ]
    assert all(0 < row["utilisation"] <= 1 for row in figures["workers"])
    policies.main([str(made), *quick])
    assert "no pruning" in capsys.readouterr().out


@pytest.mark.parametrize("file", sorted(Path(policies.__file__).parent.glob("recorded/*.gz")), ids=lambda one: one.name)
def test_what_is_kept_can_be_replayed(file: Path) -> None:
    """At least 200 configurations of all techniques, each in three cells."""
    table = read_table(file)
    assert len(table.recorded) >= 200
    assert all(len(one.curves) == 3 for one in table.recorded)
    assert {table.space.arm_of(one.params) for one in table.recorded} == {arm.name for arm in table.space.arms}
    done = replay(recording(table), WAYS[OURS], 0, Workers(2), budget=20)
    assert done.trials > 10
    assert done.moments[-1].worth > done.moments[0].worth


def test_a_fold_that_is_held_back_is_seen_by_none(made: Path) -> None:
    table = read_table(made)
    params = table.recorded[0].params
    whole, fewer = recording(table), recording(table, held_back=True)
    assert (whole.cells, fewer.cells) == (3, 2)
    assert len(fewer.seen(params).curves) == 2
    assert fewer.worth(params) == whole.seen(params).curves[2].value
    assert whole.worth(params) == whole.seen(params).value
    assert {moment.worth for moment in replay(fewer, WAYS[OURS], 0, Workers(2), budget=10).moments} <= {
        round(one.curves[2].value, 5) for one in table.recorded
    }
