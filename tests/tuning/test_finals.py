"""The last steps: each member of the committee answers once, then a student and its rehearsal learn from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from automl.params import Params
from automl.records import State
from automl.spaces import Arm, Param, SearchSpace
from automl.study import Study, open_study
from automl.training.distillation import SMALLER, student_params
from automl.training.distillation import STUDENT as STUDENT_PARAMS
from automl.tuning.configurations import Cell, Configuration
from automl.tuning.finals import AVERAGE, REFIT, REHEARSAL, STUDENT, Finals
from automl.tuning.orders import Order
from tests.tuning.records import FIRST, a_trial

PLAIN = {"learning_rate": 3e-4, "num_train_epochs": 3}
HEAD = {"technique": "features"}


@pytest.fixture
def study() -> Iterator[Study]:
    with open_study("sqlite://", "s", {}) as study:
        yield study


def a_winner(count: int, **last: Any) -> Configuration:
    """Trained to the end in so many places, of which one more may have ended otherwise."""
    trials = [
        a_trial(
            3 + 2 * place,
            0.9,
            of=3 if place else None,
            cell=Cell(place % 2, FIRST.seed + place),
            checkpoint=f"{3 + 2 * place}.safetensors",
            checkpoint_sha256=f"sha of {3 + 2 * place}",
        )
        for place in range(count)
    ]
    if last:
        trials.append(a_trial(99, of=3, cell=Cell(1, FIRST.seed + 9), **last))
    return Configuration(3, {}, {Cell(trial.facts["fold"], trial.facts["seed"]): trial for trial in trials})


def finals_of(study: Study, winner: Configuration, params: Mapping[str, Any]) -> Finals:
    """The winner has these params."""
    fixed = tuple(Param(name, "fixed", default=value) for name, value in params.items())
    return Finals(study, winner, SearchSpace("fixed", "", fixed, (Arm(""),)).over({"tiny": 3}))


def answer(order: Order) -> dict[str, str]:
    return {"answers": f"what {order.payload['number']} said", "answers_sha256": f"hash {order.payload['number']}"}


def orders(finals: Finals) -> list[Order]:
    """All that is asked for, one done before the next."""
    found = []
    while order := finals.next():
        found.append(order)
        finals.done(order.name, answer(order) if order.payload["job"] == "answer" else {"value": 0.8})
    return found


def test_each_member_answers_once_and_then_both_lessons_are_given(study: Study) -> None:
    finals = finals_of(study, a_winner(3), PLAIN)
    assert [order.name for order in orders(finals)] == [
        "answers 3",
        "answers 5",
        "answers 7",
        STUDENT,
        REHEARSAL,
        AVERAGE,
    ]
    assert not finals.open
    assert finals.next() is None
    assert finals.lesson(STUDENT) == {"value": 0.8, "committee": [3, 5, 7]}


def test_an_answer_is_asked_of_the_model_that_the_trial_left(study: Study) -> None:
    order = finals_of(study, a_winner(2), PLAIN).next()
    whole = Params(**PLAIN).model_dump()
    payload = {"job": "answer", "number": 3, "model": "tiny", "params": whole}
    about = "the winner's model of trial 3 labels every text, for a plain model to learn from"
    assert order == Order("answers 3", None, payload | {"path": "3.safetensors", "sha256": "sha of 3"}, about)


def test_whoever_learns_has_the_encoder_of_those_who_teach(study: Study) -> None:
    rate = Param("learning_rate", "float", 1e-5, 1e-3, default=1e-4)
    space = SearchSpace("two", "", (rate,), (Arm(""),)).over({"small": 3, "big": 6})
    winner = replace(a_winner(3), params={"arm": "big", "big.learning_rate": 3e-4})
    found = orders(Finals(study, winner, space))
    assert [order.name for order in found[3:]] == [STUDENT, REHEARSAL, AVERAGE]
    assert {order.payload["model"] for order in found} == {"big"}
    assert all(order.payload["params"]["learning_rate"] in (3e-4, 3e-4 / SMALLER) for order in found)


def test_answers_are_asked_for_at_the_same_time_and_lessons_wait_for_all_of_them(study: Study) -> None:
    finals = finals_of(study, a_winner(3), PLAIN)
    first, second, third = (finals.next() for _ in range(3))
    assert first
    assert second
    assert third
    assert len({first.name, second.name, third.name}) == 3
    for order in (third, first):
        finals.done(order.name, answer(order))
        assert finals.next() is None
        assert finals.running
    finals.done(second.name, answer(second))
    assert not finals.running
    last = [finals.next() for _ in range(3)]
    assert [order and order.name for order in last] == [STUDENT, REHEARSAL, AVERAGE], "all at once"
    assert finals.next() is None


def test_the_student_learns_from_all_on_every_row_and_the_rehearsal_from_those_that_did_not_see_a_fold(
    study: Study,
) -> None:
    *_, student, rehearsal, average = orders(finals_of(study, a_winner(3), PLAIN))
    # trials 3 and 7 held out fold 0, trial 5 fold 1
    said = {number: (f"what {number} said", f"hash {number}") for number in (3, 5, 7)}
    assert student.payload["fold"] is None
    assert student.payload["committee"] == list(said.values())
    assert rehearsal.payload["fold"] == 0
    assert rehearsal.payload["committee"] == [said[3], said[7]]
    assert student.payload["seed"] == rehearsal.payload["seed"] == FIRST.seed
    assert {order.payload["job"] for order in (student, rehearsal)} == {"teach"}
    assert student.about == "one plain model learns from the winner's 3 models"
    assert rehearsal.about == "the same without fold 0, whose rows tell what that gains"
    assert average.about.startswith("the weights of the winner's 3 models are averaged")
    files = {number: (f"{number}.safetensors", f"sha of {number}") for number in (3, 5, 7)}
    assert average.payload["judged"] == [files[3], files[7]]
    assert average.payload["others"] == [files[5]]
    assert (average.payload["fold"], average.payload["params"]) == (0, Params(**PLAIN).model_dump())


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (PLAIN, student_params(Params(**PLAIN))),
        (HEAD, STUDENT_PARAMS),
        ({"technique": "prefix_tuning", "learning_rate": 1e-3}, STUDENT_PARAMS),
        ({**HEAD, "augmentation": "typos"}, STUDENT_PARAMS.model_copy(update={"augmentation": "typos"})),
    ],
)
def test_a_student_is_trained_by_what_its_members_were(study: Study, params: dict[str, Any], expected: Params) -> None:
    student, rehearsal = orders(finals_of(study, a_winner(2), params))[-2:]
    assert student.payload["params"] == rehearsal.payload["params"] == expected.model_dump()


@pytest.mark.parametrize("params", [PLAIN, {"technique": "contrastive"}, HEAD, {"technique": "lora"}])
def test_a_student_begins_with_its_members_weights_where_these_are_its_own_kind(
    study: Study, params: dict[str, Any]
) -> None:
    done = {order.name: order for order in orders(finals_of(study, a_winner(3), params))}
    files = {number: (f"{number}.safetensors", f"sha of {number}") for number in (3, 5, 7)}
    alike = params is not HEAD
    assert done[STUDENT].payload["begin"] == (list(files.values()) if alike else [])
    assert done[REHEARSAL].payload["begin"] == ([files[3], files[7]] if alike else []), "trial 5 saw those rows"


def test_one_plain_model_is_trained_again_on_every_row_and_one_that_transformers_cannot_hold_teaches(
    study: Study,
) -> None:
    (refit,) = orders(finals_of(study, a_winner(1), PLAIN))
    assert refit.name == REFIT
    assert refit.payload["committee"] == []
    assert refit.payload["fold"] is None
    assert refit.payload["params"] == Params(**PLAIN).model_dump()
    assert not finals_of(study, a_winner(1), PLAIN).open
    assert [order.name for order in orders(finals_of(study, a_winner(1), HEAD))] == ["answers 3", STUDENT, REHEARSAL]


@pytest.mark.parametrize("params", [HEAD, {"technique": "lora"}])
def test_weights_that_mean_something_else_in_each_training_are_not_averaged(
    study: Study, params: dict[str, Any]
) -> None:
    assert AVERAGE not in [order.name for order in orders(finals_of(study, a_winner(3), params))]


def test_models_of_different_folds_have_no_rows_to_judge_their_average(study: Study) -> None:
    assert AVERAGE not in [order.name for order in orders(finals_of(study, a_winner(2), PLAIN))]


@pytest.mark.parametrize("state", [State.FAIL, State.PRUNED, State.RUNNING, State.WAITING])
def test_a_training_that_did_not_end_is_no_member(study: Study, state: State) -> None:
    finals = finals_of(study, a_winner(2, state=state, checkpoint="gone.safetensors"), PLAIN)
    assert [trial.number for trial in finals.members] == [3, 5]


def test_a_failed_step_ends_it_for_this_run_and_not_for_the_next(study: Study) -> None:
    finals = finals_of(study, a_winner(3), PLAIN)
    first, second = finals.next(), finals.next()
    assert first
    assert second
    finals.failed(first.name, "no room")
    assert finals.running, "the other is under way"
    finals.done(second.name, answer(second))
    assert finals.next() is None
    assert not finals.running
    assert finals.open
    assert study.facts[f"{first.name} error"] == "no room"
    again = finals_of(study, a_winner(3), PLAIN)
    assert [order.name for order in orders(again)] == ["answers 3", "answers 7", STUDENT, REHEARSAL, AVERAGE]


def test_it_goes_on_from_what_is_recorded(study: Study) -> None:
    names = ["answers 3", "answers 5", "answers 7", STUDENT, REHEARSAL, AVERAGE]
    for place, name in enumerate(names):
        finals = finals_of(study, a_winner(3), PLAIN)
        assert finals.open
        order = finals.next()
        assert order is not None
        assert order.name == name
        finals.done(name, answer(order) if place < 3 else {"value": 0.8})
        assert (finals.lesson(STUDENT) is not None) == (place >= 3)
    assert finals_of(study, a_winner(3), PLAIN).next() is None


def test_a_further_member_makes_the_student_learn_anew_but_no_one_answers_twice(study: Study) -> None:
    orders(finals_of(study, a_winner(2), PLAIN))
    grown = finals_of(study, a_winner(3), PLAIN)
    assert grown.lesson(STUDENT) is None
    assert [order.name for order in orders(grown)] == ["answers 7", STUDENT, REHEARSAL, AVERAGE]
    assert grown.lesson(STUDENT) == {"value": 0.8, "committee": [3, 5, 7]}
