"""The one policy that decides whether a running trial goes on."""

from __future__ import annotations

from collections.abc import Sequence

RUNGS = (1, 2, 4, 6)  # in eighths of a trial's own schedule (see `training.loop.STEPS`)
REDUCTION = 2


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
