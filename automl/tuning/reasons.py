"""Why nothing new is tried, in words: the target, too few rows, nothing better to be had, or the limits."""

from __future__ import annotations

from collections.abc import Sequence

from automl.records import Trial
from automl.tuning.budget import Budget
from automl.tuning.configurations import configurations
from automl.tuning.policy import Policy


def on_target(policy: Policy, budget: Budget, trials: Sequence[Trial]) -> bool:
    """Whether who leads has the target, on the mean of all folds and seeds so far: one of them may be luck."""
    if budget.target is None:
        return False
    leader = policy.race.leader(configurations(trials))
    if leader is None:
        return False
    value, *_ = leader.worth([cell for cell in policy.cells if leader.complete([cell])])
    return value >= budget.target


def why_racing(policy: Policy, budget: Budget, trials: Sequence[Trial]) -> str:
    """Why the race begins, and with how many."""
    found = configurations(trials)
    why = _why_enough(policy, budget, trials) or "that share of the budget is used"
    entrants = len(policy.race.admitted(found, 1))
    return f"{len(found)} configurations were tried, and {why}; the best {entrants} race over further folds and seeds"


def ended_because(policy: Policy, budget: Budget, trials: Sequence[Trial], *, late: bool) -> str:
    """Why a search is over although there are trials left.

    Args:
        late: there was no time for more.
    """
    out_of = "no further trial fits into the time" if late else "the rest was set aside for the race, which is over"
    return _why_enough(policy, budget, trials) or out_of


def _why_enough(policy: Policy, budget: Budget, trials: Sequence[Trial]) -> str:
    """Why nothing new is tried, if that is not for want of trials or time."""
    found = configurations(trials)
    if on_target(policy, budget, trials):
        return f"the target of {budget.target:g} is reached"
    if policy.techniques.exhausted(found):
        return "so few held-out rows cannot tell more of them apart"
    if not policy.techniques.open(found):
        return "the last ones came nowhere near the best: more of them are unlikely to pay"
    return ""
