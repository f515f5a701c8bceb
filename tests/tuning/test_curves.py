"""A table of curves comes back as it was written, and a configuration is answered for by the nearest one of its arm."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import DataError
from automl.spaces import Arm, Param, SearchSpace
from automl.tuning.curves import Curve, Point, Recorded, Table, nearest_in, read_table, write_table
from benchmarks.curves_drawn import drawn, made_up

RATE = Param("learning_rate", "float", 1e-5, 1e-1, log=True)
EPOCHS = Param("num_train_epochs", "int", 2, 10)
OPTIM = Param("optim", "categorical", choices=("adamw", "adamw_uncorrected"))
ONE = SearchSpace("one", "", (RATE, EPOCHS, OPTIM), (Arm(""),)).over({"tiny": 6})
TWO = SearchSpace("two", "", (), (Arm("a", "", (RATE,)), Arm("b", "", (RATE,)))).over({"tiny": 6})


def table(*params: dict[str, object]) -> Table:
    return Table({}, tuple(Recorded(one, (Curve((Point(8, 0.5, 0.7, 2.0),), 2.0),)) for one in params))


def one(rate: float, epochs: int = 6, optim: str = "adamw") -> dict[str, object]:
    return {"learning_rate": rate, "num_train_epochs": epochs, "optim": optim}


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = made_up("default", 10, seed=0)
    broken = Recorded(made.recorded[0].params, (Curve((), 3.5, error="TrainingDiverged: loss is nan"),) * 3)
    made = Table(made.facts, (*made.recorded, broken))
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    write_table(first, made)
    again = read_table(first)
    assert again == made
    assert (again.recorded[-1].value, again.space.written.name) == (0.0, "default")
    write_table(second, again)
    assert first.read_bytes() == second.read_bytes()


def test_two_hundred_configurations_in_three_cells_are_small(tmp_path: Path) -> None:
    write_table(tmp_path / "t.jsonl.gz", made_up("default", 200, seed=0))
    assert (tmp_path / "t.jsonl.gz").stat().st_size < 100_000


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b broken"])
def test_a_file_that_is_no_table_is_one_line_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.gz: not a table of learning curves .*benchmarks\.curves") as error:
        read_table(tmp_path / "t.gz")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("asked", "recorded", "nearest"),
    [
        (one(1e-3), [one(1e-4), one(3e-2)], 0),  # by its logarithm: 3e-2 is 1.5 decades off, 1e-4 is one
        (one(1e-3, 7), [one(1e-3, 10), one(1e-4, 7)], 1),  # a quarter of its range is nearer than 3/8
        (one(1e-3), [one(1e-3, optim="adamw_uncorrected"), one(1e-4, 9)], 1),  # unlike categories are a whole range off
        (one(1e-3), [one(1e-3, optim="adamw_uncorrected"), one(1e-5, 10)], 1),  # sqrt(1/4 + 1/4) is not
        (one(1e-3), [one(1e-3, optim="adamw_uncorrected"), one(1e-1, 2)], 1),
        (one(1e-1, 10), [one(1e-1, 10, "adamw_uncorrected"), one(1e-5, 2)], 0),
    ],
)
def test_the_nearest_is_found_on_the_scales_of_the_space(
    asked: dict[str, object], recorded: list[dict[str, object]], nearest: int
) -> None:
    assert nearest_in(table(*recorded), ONE)(asked).params == recorded[nearest]


def test_another_arm_never_answers() -> None:
    near, far = {"arm": "b", "b.learning_rate": 1e-3}, {"arm": "a", "a.learning_rate": 1e-1}
    find = nearest_in(table(near, far), TWO)
    assert find({"arm": "a", "a.learning_rate": 1e-3}).params == far


def test_another_arm_with_the_very_same_params_never_answers_either() -> None:
    space = SearchSpace("alike", "", (RATE,), (Arm("a"), Arm("b"))).over({"tiny": 6})
    near, far = {"arm": "b", "learning_rate": 1e-3}, {"arm": "a", "learning_rate": 1e-1}
    far_b = {"arm": "b", "learning_rate": 1e-5}
    find = nearest_in(table(near, far, far_b), space)
    assert find({"arm": "a", "learning_rate": 1e-3}).params == far


@pytest.mark.parametrize("recorded", [{"arm": "a", "a.learning_rate": 1e-3}, {"arm": "b", "b.rate": 1e-3}])
def test_an_arm_or_a_param_that_was_not_recorded_is_told_at_once(recorded: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"no configuration of '[ab]' with params arm, [ab]\.learning_rate"):
        nearest_in(table(recorded), TWO)


def test_what_is_recorded_begins_with_the_recipes_and_has_equal_shares_of_every_arm() -> None:
    space = made_up("default", 5, seed=0).space
    found = drawn(space, 60, seed=0)
    assert found == drawn(space, 60, seed=0)
    assert found[:40] == drawn(space, 40, seed=0), "more of them begin with the same ones"
    assert all(recipe in found for recipe in space.recipes())
    arms = [space.arm_of(params) for params in found]
    assert {arm.name: arms.count(arm.name) for arm in space.arms} == {arm.name: 12 for arm in space.arms}
    assert len({str(params) for params in found}) == 60
