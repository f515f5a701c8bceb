"""The one policy that decides whether a trial goes on: weak configurations and weak seeds do not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from statistics import median

RUNGS = (1, 2, 4, 6)  # in eighths of a trial's own schedule (see `training.loop.STEPS`)
REDUCTION = 2
PROMOTED_SHARE = 1 / 4  # of the values at its rung, within which a stopped trial goes on after all
FEWEST_COMPANY = 6  # values at a rung, before which nothing is promoted
SEED_RUNG = 2  # likewise
FEWEST_OTHERS = 2  # without which nothing is known about what is usual
SMALLEST_SPREAD = 0.05  # of the metric


def goes_on(step: int, value: float, others: Sequence[float]) -> bool:
    """Asynchronous successive halving: at a rung, only the better 1/REDUCTION of the values seen there go on.

    Because a step is a share of the trial's own schedule, a short and a long training are compared at the same
    fraction. No trial waits for another, so the first one to reach a rung always passes it. Values that tie pass
    together.

    Args:
        others: what the other trials of the study had at this step, those pruned there included. Higher is better.

    Source: Li et al. (2020), A System for Massively Parallel Hyperparameter Tuning. Optuna's SuccessiveHalvingPruner
    does not fit: it marks the rungs that a trial has passed, and so misjudges a trial that is run again after a crash.
    """
    if step not in RUNGS:
        return True
    ranked = sorted([*others, value], reverse=True)
    promoted = max(1, len(ranked) // REDUCTION)
    return value >= ranked[promoted - 1]


def seed_goes_on(step: int, value: float, others: Sequence[float]) -> bool:
    """Whether a further seed of a good configuration goes on: at a quarter of its schedule it may not lag behind.

    A seed is stopped where it is further below the median of what others had in its place than these are apart.

    Args:
        others: what other trainings had at this step with the same fold and seed. Higher is better.

    Source: Dodge et al. (2020), Fine-Tuning Pretrained Language Models: Weight Initializations, Data Orders, and Early
    Stopping: most weak seeds can be told after 20 to 30 % of the training.
    """
    if step != SEED_RUNG or len(others) < FEWEST_OTHERS:
        return True
    middle = median(others)
    spread = max(max(others) - min(others), SMALLEST_SPREAD)
    return value >= middle - spread


def standing(value: float, company: Sequence[float]) -> tuple[float, int]:
    """Share of the values seen at a rung, this one among them and in ascending order, that are better; their number."""
    better = len(company) - bisect_right(company, value)
    return better / max(len(company), 1), len(company)


def stopped_too_early(share_above: float, company: int) -> bool:
    """Whether a trial that was stopped at a rung is to go on: by now it is among the better ones that came there.

    Asynchronous halving judges a trial by who came before it. One that met strong company was stopped, though it would
    pass today; it goes on where it stopped.

    Args:
        share_above: of the values seen at its rung, those that are better.
        company: how many these are.

    Source: Li et al. (2020), where every trial waits at each rung until it is promoted.
    """
    return company >= FEWEST_COMPANY and share_above < PROMOTED_SHARE
