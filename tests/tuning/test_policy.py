"""What is trained next comes from the record alone: recipes, proposals, then a paired race that narrows."""

from __future__ import annotations

import copy
import random
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.records import State, Trial
from automl.tuning.arms import COARSE, MOST_AT_ONCE, PATIENCE
from automl.tuning.configurations import Cell, configurations
from automl.tuning.job import RACE, SEARCH, Job
from automl.tuning.policy import MORE_SEARCH_SHARE, MOST_PAUSED, SEARCH_SHARE, Policy
from automl.tuning.race import MOST_ENTRANTS
from tests.tuning.records import ENDED, FIRST, RECIPES, Record, a_trial

NEW = Job(SEARCH, FIRST, arms=("",))  # what the sampler proposes
ARMS = ("0", "1", "2")
NEW_OF_A = Job(SEARCH, FIRST, arms=("a",))
CELLS = [Cell(0, 7), Cell(1, 8), Cell(2, 9), Cell(3, 10), Cell(4, 11)]


def a_policy(n_folds: int = 5, repeats: int = 0, budget: int = 0, recipes: Any = RECIPES) -> Policy:
    return Policy(n_folds, 7, recipes, repeats, budget)


def arm_of(params: Any) -> str:
    return ARMS[round(10 * params["rate"]) % len(ARMS)]


def leader(policy: Policy, *trials: Any) -> int | None:
    found = policy.race.leader(configurations(trials))
    return None if found is None else found.number


def test_each_cell_has_its_own_seed_and_folds_come_in_turn() -> None:
    assert a_policy().cells == CELLS
    assert a_policy(1, repeats=2).cells == [Cell(0, 7), Cell(0, 8), Cell(0, 9)]
    assert a_policy(2, repeats=1).cells == [Cell(0, 7), Cell(1, 8), Cell(0, 9)]


def test_recipes_are_tried_first_and_in_order_all_in_the_same_place_then_come_proposals() -> None:
    record = Record(a_policy(), 100)
    jobs = [record.start() for _ in range(5)]  # at once: none waits for another
    assert jobs == [*(Job(SEARCH, FIRST, recipe) for recipe in RECIPES), NEW, NEW]


def test_a_recipe_that_broke_is_not_tried_again() -> None:
    record = Record(a_policy(), 100)
    record.start()
    record.end(0, None, State.FAIL)
    assert record.start() == Job(SEARCH, FIRST, RECIPES[1])


def test_nothing_new_is_tried_once_its_share_of_the_budget_is_used() -> None:
    done = [a_trial(0, 0.5), a_trial(1, 0.6)]
    policy = a_policy(2, recipes=())
    just_before, then = policy.next(done, SEARCH_SHARE - 0.01), policy.next(done, SEARCH_SHARE)
    assert just_before == NEW
    assert then == Job(RACE, CELLS[1], done[1].params, 1)
    raced = [*done, *(a_trial(2 + number, 0.5, of=number, cell=CELLS[1]) for number in (0, 1))]
    assert policy.next(raced, MORE_SEARCH_SHARE - 0.01) == NEW, "the race has nothing to do"
    assert policy.next(raced, MORE_SEARCH_SHARE) is None
    assert policy.next([], 1.0) == NEW, "something has to be tried, however late it is"


def test_the_share_shrinks_where_the_race_would_not_fit() -> None:
    policy = a_policy(budget=10)
    record = Record(policy, 10).run({0.1: 0.5, 0.2: 0.7, 0.3: 0.6})
    assert policy.finalists == 1
    assert configurations(record.trials)[1].complete(CELLS), "the winner was compared everywhere"


def test_the_race_narrows_and_goes_through_the_same_cells_for_all() -> None:
    policy, rng = a_policy(), random.Random(0)
    trials = [a_trial(number, rng.random()) for number in range(24)]
    raced = []
    while job := policy.next(trials, 1.0):
        raced.append(job)
        trials.append(a_trial(len(trials), rng.random(), of=job.configuration, cell=job.cell))
    assert {job.stage for job in raced} == {RACE}
    assert Counter(job.cell for job in raced) == dict(zip(CELLS[1:], (8, 4, 2, 2), strict=True))
    assert [job.cell for job in raced] == sorted((job.cell for job in raced), key=CELLS.index), "cell after cell"
    best = sorted(trials[:24], key=lambda trial: -(trial.value or 0))
    assert [job.configuration for job in raced[:8]] == [trial.number for trial in best[:8]]


def test_the_best_of_each_place_go_on() -> None:
    trials = [a_trial(number, value) for number, value in enumerate((0.1, 0.9, 0.5, 0.7, 0.8, 0.6))]
    policy = a_policy(recipes=())
    assert policy.next(trials, 1.0) == Job(RACE, CELLS[1], trials[1].params, 1)
    trials.append(a_trial(6, of=1, cell=CELLS[1]))
    assert policy.next(trials, 1.0) == Job(RACE, CELLS[1], trials[4].params, 4)
    trials.append(a_trial(7, of=4, cell=CELLS[1]))
    assert policy.next(trials, 1.0) == Job(RACE, CELLS[2], trials[1].params, 1), "no worker waits: the first goes ahead"
    trials[7] = a_trial(7, 0.9, of=4, cell=CELLS[1])
    assert policy.next(trials, 1.0) == Job(RACE, CELLS[2], trials[4].params, 4)


def test_a_tie_goes_to_the_smaller_loss_and_then_to_the_older() -> None:
    policy = a_policy(1)
    assert leader(policy, a_trial(0, 0.8, loss=0.5), a_trial(1, 0.8, loss=0.4)) == 1
    assert leader(policy, a_trial(0, 0.8, loss=0.4), a_trial(1, 0.8, loss=0.4)) == 0
    assert leader(policy, a_trial(0, 0.8, loss=0.1), a_trial(1, 0.9, loss=0.9)) == 1


def test_the_mean_over_cells_decides_and_never_one_of_them() -> None:
    lucky = [a_trial(0, 0.9), a_trial(2, 0.5, of=0, cell=CELLS[1])]
    steady = [a_trial(1, 0.8), a_trial(3, 0.8, of=1, cell=CELLS[1])]
    assert leader(a_policy(), *lucky[:1], *steady[:1]) == 0
    assert leader(a_policy(), *lucky[:1], *steady[:1], *lucky[1:], *steady[1:]) == 1


def test_the_leader_is_never_the_one_that_merely_finished_first() -> None:
    slow, fast = a_trial(0, 0.9), a_trial(1, 0.8)
    running = a_trial(2, of=0, cell=CELLS[1])
    alone = [a_trial(3 + place, 1.0, of=1, cell=cell) for place, cell in enumerate(CELLS[1:])]
    for places in range(len(alone) + 1):
        assert leader(a_policy(), slow, fast, running, *alone[:places]) == 0
    arrived = a_trial(2, 0.5, of=0, cell=CELLS[1])
    assert leader(a_policy(), slow, fast, arrived, *alone[:1]) == 1


@pytest.mark.parametrize("end", [State.FAIL, State.PRUNED])
def test_one_that_dropped_out_of_the_race_is_not_waited_for(end: State) -> None:
    best, second = a_trial(0, 0.9), a_trial(1, 0.8)
    out = a_trial(2, of=0, cell=CELLS[1], state=end)
    assert leader(a_policy(), best, second, out, a_trial(3, 0.7, of=1, cell=CELLS[1])) == 1
    later = [a_trial(4 + place, 0.7, of=1, cell=cell) for place, cell in enumerate(CELLS[2:])]
    assert leader(a_policy(), best, second, out, a_trial(3, 0.7, of=1, cell=CELLS[1]), *later) == 1


def test_where_the_whole_race_broke_the_best_before_it_leads() -> None:
    broke = [a_trial(2 + number, of=number, cell=CELLS[1], state=State.FAIL) for number in (0, 1)]
    assert leader(a_policy(), a_trial(0, 0.8), a_trial(1, 0.9), *broke) == 1
    assert leader(a_policy(), a_trial(0, state=State.FAIL)) is None
    assert leader(a_policy()) is None


def test_the_slow_one_that_is_ahead_of_all_is_not_beaten_for_coming_late() -> None:
    policy = a_policy(recipes=())
    quick = [a_trial(n, 0.7) for n in range(2)]
    quick += [a_trial(10 * n + place, 0.7, of=n, cell=CELLS[place]) for n in range(2) for place in range(1, 5)]
    slow = [a_trial(30, 0.6), *(a_trial(30 + place, 0.9, of=30, cell=CELLS[place]) for place in range(1, 4))]
    assert leader(policy, *quick, *slow[:3]) == 30, "time is up, and by three cells of five it is the best"
    assert leader(policy, *quick, *slow) == 30
    assert leader(policy, *quick, *slow[:2]) == 0, "two cells are too few"
    lost = replace(slow[3], state=State.PRUNED, value=None)
    assert leader(policy, *quick, *slow[:3], lost) == 0


def test_a_late_comer_does_not_undo_a_race_that_was_run() -> None:
    trials = [a_trial(0, 0.8), a_trial(1, 0.9)]
    for place, cell in enumerate(CELLS[1:]):
        trials += [a_trial(2 + 2 * place, 0.8, of=0, cell=cell), a_trial(3 + 2 * place, 0.3, of=1, cell=cell)]
    assert leader(a_policy(), *trials) == 0
    assert leader(a_policy(), *trials, a_trial(len(trials), 0.85)) == 0


def test_when_the_sampler_finds_nothing_better_for_long_the_race_begins_early() -> None:
    policy = a_policy()
    trials = [a_trial(number, 0.9, params=recipe) for number, recipe in enumerate(RECIPES)]
    trials += [a_trial(3 + number, 0.5) for number in range(PATIENCE)]
    assert policy.next(trials[:-1], 0.0) == NEW
    race = policy.next(trials, 0.0)
    assert race is not None
    assert race.stage == RACE
    better = [*trials[:-1], a_trial(len(trials) - 1, 0.95)]
    assert policy.next(better, 0.0) == NEW


def test_a_technique_of_which_nothing_better_is_found_leaves_the_search_to_the_others() -> None:
    policy = replace(a_policy(recipes=()), arm_of=lambda params: str(params["arm"]), arms=("a", "b"))
    first = [a_trial(n, 0.7, params={"arm": "a", "rate": n}) for n in range(3)]
    a = [*first, *(a_trial(3 + n, 0.5, params={"arm": "a", "rate": 3 + n}) for n in range(PATIENCE))]
    b = a_trial(len(a), 0.9, params={"arm": "b", "rate": 0})
    assert policy.techniques.open(configurations([*a[:-1], b])) == ["a", "b"]
    assert policy.techniques.open(configurations([*a, b])) == ["b"]
    running = replace(b, state=State.RUNNING, value=None)
    trials = [*a, running]
    while (job := policy.next(trials, 0.1)) and job.stage == RACE:  # b is unknown, and no more of a is to be tried
        trials.append(a_trial(len(trials), 0.5, of=job.configuration, cell=job.cell, params=job.params))
    assert job == Job(SEARCH, FIRST, arms=("b",), speculative=True), (
        "an idle worker costs nothing: it may try b, before that is known to be worth it"
    )
    assert len(trials) > len(a) + 4
    assert policy.next(trials, SEARCH_SHARE) == Job(SEARCH, FIRST, arms=("b",), spare=True)


def test_so_many_of_a_technique_are_proposed_at_once_and_idle_workers_turn_to_others() -> None:
    recipes = [{"arm": arm, "rate": 0} for arm in ("a", "b", "c")]
    policy = replace(a_policy(recipes=recipes), arm_of=lambda params: str(params["arm"]), arms=("a", "b", "c"))
    trials = [a_trial(n, 0.9 - n / 10, params=recipe) for n, recipe in enumerate(recipes)]
    tried: Counter[str] = Counter()
    for number in range(3, 67):
        job = policy.next(trials, 0.1)
        if job is not None and job.stage == RACE:
            trials.append(a_trial(number, None, of=job.configuration, cell=job.cell, params=job.params))
            continue
        assert job is not None
        assert job.arms
        assert job.speculative == (job.arms != ("a",))
        tried[job.arms[0]] += 1
        params = {"arm": job.arms[0], "rate": number}
        trials.append(a_trial(number, None, params=params, speculative=job.speculative))
    assert (tried["a"], tried["b"]) == (MOST_AT_ONCE, MOST_AT_ONCE)
    assert tried["c"] > 20, "what is left tries the costliest"
    speculative = [
        replace(one, facts={**one.facts, "speculative": True}) for one in trials if one.state is State.RUNNING
    ]
    ended = [one for one in trials if one.state is not State.RUNNING]
    job = policy.next([*ended, *speculative], 0.1)
    assert job in (None, NEW_OF_A) or job.spare, "nobody speculates where nothing is waited for"


def test_idle_workers_take_what_nobody_waits_for_and_the_search_goes_on_as_without_it() -> None:
    policy = a_policy(3, recipes=())
    best = a_trial(0, 0.9)
    settled = [best, *(a_trial(1 + n, 0.5) for n in range(PATIENCE + 2))]  # nothing new is worth a try
    race = [a_trial(20 + n, 0.9 - n, of=n, cell=CELLS[1], params=settled[n].params) for n in range(5)]
    last = [a_trial(30 + n, None, of=n, cell=CELLS[2], params=settled[n].params) for n in (0, 1)]
    last = [replace(one, intermediate={6: 0.5}) for one in last]
    trials = [*settled, *race, *last]
    assert policy.next(trials, SEARCH_SHARE) == Job(SEARCH, FIRST, arms=("",), spare=True)
    assert policy.next(trials, MORE_SEARCH_SHARE) is None
    assert replace(policy, budget=len(trials) + 5).next(trials, 0.1) is None, "they leave trials for the race"

    spare = a_trial(40, 0.99, spare=True)
    assert policy.next([*trials, spare], 0.1) == Job(RACE, CELLS[1], spare.params, 40, spare=True)
    done = [replace(one, state=State.COMPLETE, value=0.9 - n / 10) for n, one in enumerate(last)]
    assert policy.next([*settled, *race, *done, spare], 0.1) is None, "nobody waits for its race"
    assert leader(policy, *settled, *race, *done, spare) == 0
    through = [a_trial(41 + n, 0.99, of=40, cell=cell, params=spare.params) for n, cell in enumerate(CELLS[1:3])]
    assert leader(policy, *settled, *race, *done, spare, through[0]) == 0, "a good start is not enough"
    assert leader(policy, *settled, *race, *done, spare, *through) == 40, "it came through before the others had"


@pytest.mark.parametrize(("step", "goes_on"), [(2, True), (6, False)])
def test_others_in_the_race_go_ahead_beside_a_training_that_is_far_from_its_end(step: int, goes_on: bool) -> None:
    policy = a_policy(3)
    trials = [a_trial(number, 0.9 - number / 100) for number in range(8)]
    trials += [a_trial(8 + n, 0.9 - n / 100, of=n, cell=CELLS[1], params=trials[n].params) for n in range(3)]
    running = [a_trial(11 + n, None, of=n, cell=CELLS[2], params=trials[n].params) for n in range(2)]
    assert policy.next([*trials, running[0]], 0.8) == Job(RACE, CELLS[2], trials[1].params, 1), "it is sure to be used"
    running = [replace(one, intermediate={step: 0.5}) for one in running]
    ahead = Job(RACE, CELLS[2], trials[2].params, 2, speculative=True)
    assert policy.next([*trials, *running], 0.8) == (ahead if goes_on else None)


def test_no_more_are_tried_than_the_held_out_rows_can_rank() -> None:
    policy = replace(a_policy(recipes=()), held_out=20)
    trials = [a_trial(number, number / 100) for number in range(10)]  # ever better ones
    assert policy.next(trials[:-1], 0.0) == NEW
    race = policy.next(trials, 0.0)
    assert race is not None
    assert race.stage == RACE
    assert replace(policy, held_out=0).next(trials, 0.0) == NEW


def test_models_that_can_no_longer_win_are_not_kept() -> None:
    trials = [a_trial(number, number / 100) for number in range(20)]
    kept = a_policy().race.worth_keeping(trials)
    assert kept == set(range(20 - MOST_ENTRANTS, 20))


def test_who_was_beaten_further_on_does_not_lead_again_for_a_rival_s_sake() -> None:
    policy = a_policy(recipes=())
    values = [0.99, 0.98, 0.9, 0.89, *(0.5 for _ in range(20))]
    trials = [a_trial(number, value) for number, value in enumerate(values)]
    trials += [a_trial(24 + number, values[number], of=number, cell=CELLS[1]) for number in range(MOST_ENTRANTS)]
    beaten = a_trial(32, 0.0, of=0, cell=CELLS[2])
    there = [a_trial(33 + number, values[number], of=number, cell=CELLS[2]) for number in (2, 3)]
    rival = a_trial(40, of=1, cell=CELLS[2])
    trials += [beaten, *there, rival]
    assert leader(policy, *trials) == 1, "by both cells that it was in, as the best of the third is"
    assert {1, 25} <= policy.race.worth_keeping(trials)
    assert not {0, 24, 32} & policy.race.worth_keeping(trials)


def falling(count: int) -> list[Trial]:
    """So many of the first cell, each a little worse than the one before."""
    return [a_trial(number, 0.9 - number / 1000) for number in range(count)]


def dropped_and_leading(policy: Policy, *records: list[Trial]) -> tuple[set[int], set[int]]:
    """Trials whose models were dropped as the record grew, and those of who leads in the end."""
    dropped: set[int] = set()
    for trials in records:
        complete = {trial.number for trial in trials if trial.state is State.COMPLETE}
        dropped |= complete - policy.race.worth_keeping(trials)
    leading = policy.race.leader(configurations(records[-1]))
    assert leading is not None
    return dropped, {trial.number for trial in leading.trials.values()}


def test_a_model_is_kept_whose_configuration_is_pushed_out_while_it_is_trained_further() -> None:
    policy = a_policy(recipes=())
    racing = [a_trial(30 + number, of=number, cell=CELLS[1]) for number in range(MOST_ENTRANTS)]
    late = a_trial(24, 0.95)
    ended = [replace(one, state=State.COMPLETE, value=0.99 if one.number == 37 else 0.5) for one in racing]
    dropped, leading = dropped_and_leading(
        policy, [*falling(24), *racing], [*falling(24), late, *racing], [*falling(24), late, *ended]
    )
    assert leading == {7, 37}
    assert not dropped & leading


def test_a_model_is_kept_that_only_one_from_idle_workers_stands_before() -> None:
    policy = a_policy(recipes=())
    spare = a_trial(24, 0.95, spare=True)
    trials = [*falling(24), spare]
    trials += [a_trial(30 + number, 0.5, of=number, cell=CELLS[1]) for number in range(MOST_ENTRANTS - 1)]
    assert policy.race.next([one for one in configurations(trials) if not one.spare]) == Job(
        RACE, CELLS[1], {"rate": 7.0}, 7
    )
    dropped, leading = dropped_and_leading(policy, trials, [*trials, a_trial(37, 0.99, of=7, cell=CELLS[1])])
    assert leading == {7, 37}
    assert not dropped & leading


def test_nobody_is_trained_further_whose_models_are_gone() -> None:
    policy = a_policy(3, recipes=())
    trials = [a_trial(number, 0.9 - number / 100) for number in range(15)]
    trials += [a_trial(15 + number, 0.7 if number else 0.5, of=number, cell=CELLS[1]) for number in range(5)]
    assert not {0, 15} & policy.race.worth_keeping(trials)
    running = [a_trial(20 + number, of=number, cell=CELLS[2]) for number in (1, 2)]
    job = policy.race.overtaking(configurations([*trials, *running]))
    assert job is None or job.configuration != 0


def test_two_cells_are_too_few_also_beside_a_better_rival() -> None:
    through = [
        a_trial(10 * n + place, 0.8 - n / 100, of=n or None, cell=CELLS[place]) for n in (0, 1) for place in range(5)
    ]
    through = [replace(one, facts={**one.facts, "configuration": one.number // 10}) for one in through]
    rival = [a_trial(20 + place, 0.82, of=20, cell=CELLS[place]) for place in range(3)]
    early = [a_trial(30, 0.99), a_trial(31, 0.83, of=30, cell=CELLS[1]), a_trial(32, of=30, cell=CELLS[2])]
    others = [a_trial(100 + number, 0.1) for number in range(20)]
    assert leader(a_policy(recipes=()), *through, *early, *others) == 0
    assert leader(a_policy(recipes=()), *through, *rival, *early, *others) == 20


def test_who_was_pruned_in_the_race_does_not_lead_while_a_rival_runs() -> None:
    best, second, third = a_trial(0, 0.9), a_trial(1, 0.8), a_trial(2, 0.7)
    others = [a_trial(10 + number, 0.1) for number in range(9)]
    out = a_trial(3, of=0, cell=CELLS[1], state=State.PRUNED)
    there, running = a_trial(4, 0.8, of=1, cell=CELLS[1]), a_trial(5, of=2, cell=CELLS[1])
    assert leader(a_policy(recipes=()), best, second, third, *others, out, there, running) == 1


def test_a_model_is_kept_that_is_admitted_only_when_other_techniques_fall_behind() -> None:
    policy = replace(a_policy(recipes=()), arms=ARMS, arm_of=arm_of, held_out=200)
    costly = [a_trial(number, 0.6, params={"rate": 0.1 + number / 10}) for number in range(2)]
    cheap = [a_trial(2 + number, 0.62 - number / 1000, params={"rate": 0.3 * number}) for number in range(22)]
    kept = policy.race.worth_keeping([*costly, *cheap])
    found = configurations([*costly, *cheap, a_trial(24, 0.9, params={"rate": 9.0})])
    admitted = {one.number for one in policy.race.admitted(found, 1)}
    assert len(admitted) == MOST_ENTRANTS
    assert not admitted & {0, 1}
    assert admitted - {24} <= kept


def stopped(number: int, value: float, step: int = 1, **more: Any) -> Trial:
    return replace(a_trial(number, state=State.PRUNED, **more), intermediate={step: value})


def passed(number: int, value: float, **more: Any) -> Trial:
    return replace(a_trial(number, value, **more), intermediate={1: value, 2: value})


def test_one_that_was_stopped_among_strong_company_goes_on_when_it_stands_well_among_all() -> None:
    policy = a_policy(recipes=())
    strong = [passed(number, 0.9 - number / 100) for number in range(2)]
    trials = [*strong, stopped(2, 0.8), *(stopped(3 + n, 0.5) for n in range(2))]
    assert policy.next(trials, 0.1) == NEW, "five are no company"
    trials += [stopped(5 + n, 0.4) for n in range(4)]
    assert policy.next(trials, 0.1) == Job(SEARCH, FIRST, trials[2].params, 2, continues=2)
    further = a_trial(9, of=2, continues=2, params=trials[2].params)
    further = replace(further, facts={**further.facts, "stage": SEARCH})
    assert policy.next([*trials, further], 0.1) == NEW, "it runs"
    ended = replace(further, state=State.COMPLETE, value=0.95, intermediate={2: 0.9})
    assert leader(policy, *trials, ended) == 2


def test_what_is_half_trained_is_compared_within_its_technique() -> None:
    policy = replace(a_policy(recipes=()), arm_of=lambda params: str(params["arm"]))
    slow, quick = ({"arm": name, "rate": 1.0} for name in ("slow", "quick"))
    trials = [passed(n, 0.9, params={**quick, "rate": n}) for n in range(8)]
    trials += [stopped(8, 0.6, params=slow)]
    trials += [stopped(9 + n, 0.5, params={**slow, "rate": n}) for n in range(5)]
    job = policy.next(trials, 0.1)
    assert job is not None
    assert job.continues == 8


def test_the_states_of_few_stopped_trainings_are_kept_the_best_ones() -> None:
    trials = [stopped(number, number / 100) for number in range(30)]
    assert [one.number for one in a_policy().paused(configurations(trials))] == list(range(29, 29 - MOST_PAUSED, -1))


def test_a_costly_technique_has_to_do_better_than_every_cheaper_one() -> None:
    policy = replace(a_policy(recipes=()), arm_of=lambda params: str(params["arm"]), arms=("a", "b", "c", "d"))

    def worthwhile(**values: float) -> list[str]:
        trials = [a_trial(n, value, params={"arm": arm}) for n, (arm, value) in enumerate(values.items())]
        return policy.techniques.worthwhile(configurations(trials))

    assert worthwhile(a=0.5, b=0.7, c=0.8) == ["a", "b", "c"]
    assert worthwhile(a=0.5, b=0.8, c=0.7, d=0.9) == ["a", "b", "d"]
    assert worthwhile(a=0.8, b=0.8, c=0.8) == ["a"], "what ties is decided by cost"
    policy = replace(policy, held_out=25)  # a standard error of 0.1
    assert worthwhile(a=0.5, b=0.54, c=0.6) == ["a", "c"], "by more than chance may give"
    policy = replace(policy, width=2.0)  # Matthews' correlation, from -1 to 1
    assert worthwhile(a=0.5, b=0.54, c=0.59, d=0.7) == ["a", "d"]
    best = [a_trial(n, value, params={"arm": "b", "rate": n}) for n, value in enumerate((0.9, 0.1))]
    assert policy.techniques.worthwhile(configurations(best)) == ["a", "b"], (
        "by its best; nothing is cheaper than the first"
    )
    assert policy.techniques.worthwhile([]) == ["a"], "one without a result has earned nothing yet"


def test_what_one_fold_cannot_tell_from_the_best_is_tried_when_nothing_else_is_left_and_races() -> None:
    policy = replace(a_policy(recipes=()), arm_of=lambda params: str(params["arm"]), arms=("a", "b", "c"), held_out=100)
    a = [a_trial(n, 0.8 - n / 1000, params={"arm": "a", "rate": n}) for n in range(3 + PATIENCE)]
    b, c = a_trial(20, 0.76, params={"arm": "b"}), a_trial(21, 0.7, params={"arm": "c"})  # a standard error of 0.05
    found = configurations([*a, b, c])
    assert policy.techniques.worthwhile(found) == ["a"]
    assert policy.techniques.contenders(found) == ["a", "b"]
    assert policy.techniques.open(configurations([*a[:-1], b, c])) == ["a"]
    assert policy.techniques.open(found) == ["b"], "a is settled, and c clearly behind"
    assert [one.number for one in policy.race.admitted(found, 1)] == [0, 20, 1, 2, 3, 4]
    assert [one.number for one in replace(policy, held_out=0).race.admitted(found, 1)] == [0, 1, 2, 3, 4, 5]
    assert replace(policy, held_out=0).techniques.open(found) == []


def test_after_a_small_fold_the_best_of_each_technique_races() -> None:
    trials = [a_trial(n, 0.9 - n / 100, params={"arm": "quick", "rate": n}) for n in range(9)]
    trials += [a_trial(9, 0.5, params={"arm": "slow"}), a_trial(10, 0.4, params={"arm": "slow", "rate": 1})]
    found = configurations(trials)
    arms: Any = {"arm_of": lambda params: str(params["arm"]), "arms": ("quick", "slow")}
    exact = replace(a_policy(recipes=()), held_out=COARSE, **arms)
    coarse = replace(exact, held_out=COARSE - 1)
    assert [one.number for one in exact.race.admitted(found, 1)] == [0, 1, 2, 3]
    assert [one.number for one in coarse.race.admitted(found, 1)] == [0, 9, 1, 2]
    leading = coarse.race.leader(found)
    assert leading is not None
    assert leading.number == 0


def test_the_default_of_each_technique_is_tried_and_further_recipes_of_those_that_are_worthwhile() -> None:
    recipes = [{"arm": arm, "rate": rate} for rate, arm in ((1, "a"), (1, "b"), (2, "a"), (2, "b"))]
    policy = replace(a_policy(recipes=recipes), arm_of=lambda params: str(params["arm"]), arms=("a", "b"))
    trials = [
        a_trial(n, value, params=recipe) for n, (value, recipe) in enumerate(zip((0.8, 0.7), recipes[:2], strict=True))
    ]
    assert policy.next(trials[:1], 0.1) == Job(SEARCH, FIRST, recipes[1])
    assert policy.next(trials, 0.1) == Job(SEARCH, FIRST, recipes[2])
    trials.append(a_trial(2, 0.6, params=recipes[2]))
    assert policy.next(trials, 0.1) == Job(SEARCH, FIRST, arms=("a",)), "b has not earned another try"
    trials[1] = a_trial(1, 0.9, params=recipes[1])
    assert policy.next(trials, 0.1) == Job(SEARCH, FIRST, recipes[3])


@st.composite
def searches(draw: st.DrawFn) -> tuple[Policy, int, int, random.Random]:
    """A policy, its budget, workers that run at once, and what decides how trials end."""
    budget = draw(st.integers(1, 60))
    policy = a_policy(
        draw(st.integers(1, 5)),
        repeats=draw(st.integers(0, 2)),
        budget=draw(st.sampled_from([0, budget])),
        recipes=RECIPES[: draw(st.integers(0, 3))],
    )
    if draw(st.booleans()):
        policy = replace(policy, arms=ARMS, arm_of=arm_of, held_out=draw(st.sampled_from([0, 60, 200])))
    return policy, budget, draw(st.integers(1, 5)), draw(st.randoms(use_true_random=False))


def steps(policy: Policy, budget: int, workers: int, rng: random.Random) -> Any:
    """The record after each start and each end, whichever trials are quick, pruned, broken, or as good as others."""
    record = Record(policy, budget)
    while True:
        while len(record.running) < workers and record.start() is not None:
            yield record
        if not record.running:
            return
        state = rng.choices(ENDED, (8, 1, 1))[0]
        value = rng.randrange(6) / 5 if state is State.COMPLETE else None
        record.end(rng.choice(record.running), value, state)
        yield record


@settings(max_examples=60, deadline=None)
@given(searches())
def test_whatever_becomes_of_the_trials_the_search_keeps_its_order(search: Any) -> None:
    policy, budget, workers, _ = search
    record = Record(policy, budget)
    for record in steps(*search):  # noqa: B007
        pass
    assert len(record.trials) <= budget
    tried = [job.params for job in record.jobs if job.stage == SEARCH]
    assert tried[: len(policy.recipes)] == list(policy.recipes)[: len(tried)]
    assert tried[len(policy.recipes) :] == [None] * (len(tried) - len(policy.recipes))
    for place, (job, used) in enumerate(zip(record.jobs, record.used, strict=True)):
        assert job.stage == RACE or used < MORE_SEARCH_SHARE or place == 0
    by_cell = Counter(
        (trial.facts.get("configuration", trial.number), trial.facts["fold"], trial.facts["seed"])
        for trial in record.trials
    )
    assert set(by_cell.values()) == {1}, "nothing is trained twice in one place"
    for one in configurations(record.trials):
        assert policy.cells[0] in one.trials
        if workers == 1:  # else the first may go ahead
            reached = [cell for cell in policy.cells if cell in one.trials]
            assert reached == policy.cells[: len(reached)], "all are compared in the same cells, one after the other"
            assert one.complete(reached[:-1])
        assert set(one.trials) <= set(policy.cells)
        assert all(trial.params == one.params for trial in one.trials.values())


@settings(max_examples=60, deadline=None)
@given(searches())
def test_a_model_that_may_still_win_is_never_dropped(search: Any) -> None:
    policy = search[0]
    dropped: set[int] = set()
    for record in steps(*search):
        complete = {trial.number for trial in record.trials if trial.state is State.COMPLETE}
        dropped |= complete - policy.race.worth_keeping(record.trials)
        leading = policy.race.leader(configurations(record.trials))
        assert (leading is None) == (not any(one.complete(policy.cells[:1]) for one in configurations(record.trials)))
        if leading is not None:
            assert not dropped & {trial.number for trial in leading.trials.values()}


@settings(max_examples=60, deadline=None)
@given(searches())
def test_who_is_alone_in_front_leads_only_by_where_a_running_rival_was_too(search: Any) -> None:
    policy = search[0]
    for record in steps(*search):
        found = configurations(record.trials)
        leading = policy.race.leader(found)
        for rival in found:
            place = next((n for n, cell in enumerate(policy.cells) if not rival.complete([cell])), 0)
            if not place or rival not in policy.race.admitted(found, place) or rival.lost(policy.cells[place]):
                continue
            if rival.spare and policy.cells[place] not in rival.trials:
                continue  # nobody waits for it
            ahead = [one for one in found if one.complete(policy.cells[: place + 1])]
            if ahead == [leading]:
                both = policy.cells[:place]
                lost = {one.number for one in found if any(map(one.lost, policy.cells))} - {ahead[0].number}
                still_in = [one for one in found if one.complete(both) and one.number not in lost]
                assert ahead[0].worth(both) == max(one.worth(both) for one in still_in)


@settings(max_examples=60, deadline=None)
@given(searches(), st.integers(0, 100))
def test_what_comes_next_depends_on_the_record_alone(search: Any, cut: int) -> None:
    policy, budget, *_ = search
    record = next(islice(steps(*search), cut, None), None)
    if record is None:
        return
    used = len(record.trials) / budget
    again = replace(policy, recipes=list(policy.recipes))
    assert again.next(copy.deepcopy(record.trials), used) == policy.next(record.trials, used)
    # A search that was killed here runs what was running once more, and then goes on to an end like any other.
    resumed = Record(again, budget)
    resumed.trials = copy.deepcopy(record.trials)
    for number in resumed.running:
        resumed.end(number, 0.5)
    while resumed.start() is not None:
        resumed.end(len(resumed.trials) - 1, 0.5)
    assert len(resumed.trials) == budget or policy.next(resumed.trials, len(resumed.trials) / budget) is None


def test_while_the_race_waits_no_more_is_tried_than_leaves_it_room() -> None:
    policy = a_policy(2, budget=2, recipes=())
    assert policy.next([a_trial(0)], 0.5) is None, "the second of two trials belongs to the other fold"
    assert policy.next([a_trial(0, 0.8)], 0.5) == Job(RACE, CELLS[1], {"rate": 0.0}, 0)
