"""What is exported of a search: the winner's best plain form, built, or made here where the search had no time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from automl.backbones import Backbone
from automl.candidates import SINGLE, Candidates, gather_candidates
from automl.errors import NothingUsable
from automl.export.folder import build_model
from automl.export.original import Member, Original
from automl.models.checkpoint import Checkpoint, load_tokenizer, resolve
from automl.params import Params
from automl.prepare import Prepared
from automl.progress import PhaseStarted, Progress
from automl.selection import Difference
from automl.study import Study
from automl.training.distillation import NOT_EXPRESSIBLE, student_params
from automl.tuning.configurations import Configuration, configurations
from automl.tuning.finals import AVERAGE, REFIT, STUDENT, Finals
from automl.tuning.orders import Order
from automl.tuning.policy import Policy
from automl.workload import adaptation_of, worker_setup

REFIT_TRAININGS = 1.5  # of one on a fold, in seconds


@dataclass(frozen=True)
class Shipped:
    """The model that is exported.

    Args:
        winner: the configuration that it comes from.
        name: which candidate it is.
        params: how it was trained; with them it is built from its checkpoint.
        why: in words, why it is this one.
        lost: what it is worse by than the winner's own model, where that is more than chance.
    """

    winner: Configuration
    name: str
    backbone: Backbone
    params: Params
    checkpoint: str
    sha256: str
    why: str
    candidates: Candidates
    lost: Difference | None = None


def choose_shipped(
    study: Study, policy: Policy, prepared: Prepared, progress: Progress, *, until: float | None = None
) -> Shipped:
    """The leader of the race in its best plain form.

    Where no class of transformers can hold it, that is its student; if that did clearly worse than it in the rehearsal,
    and a configuration that can be held did better, it is this one.

    Args:
        until: when the user's time is over, on the clock of `time.monotonic`; None is never.

    Raises:
        NothingUsable: no configuration was completed.
    """
    found = configurations(study.trials())
    winner = policy.race.leader(found)
    if winner is None:
        raise NothingUsable("no configuration was completed where all are compared; give more --time-limit or --budget")
    shipped = _plain_form(study, winner, prepared, progress, until)
    if shipped.lost is None:
        return shipped
    other = policy.race.leader([one for one in found if _is_expressible(_params(one, prepared))])
    if other is None or (other.trials[policy.cells[0]].value or 0.0) <= shipped.candidates.named[STUDENT].value:
        return shipped
    instead = _plain_form(study, other, prepared, progress, until)
    if not Path(instead.checkpoint).exists():  # it was far from winning, and there was no time to train it again
        return shipped
    why = f"{instead.why}; trial {winner.number} came first, but no plain model learns it ({shipped.candidates})"
    return replace(instead, why=why)


def _plain_form(
    study: Study, winner: Configuration, prepared: Prepared, progress: Progress, until: float | None
) -> Shipped:
    """The student of all models, their average, or one model trained like them on every row, whichever is preferred."""
    params, finals = _params(winner, prepared), Finals(study, winner, prepared.space)
    if finals.open and not _is_expressible(params):
        progress.emit(PhaseStarted("teaching a plain model what the winner knows"))
        _carry_out(iter(finals.next, None), finals, study, prepared, progress)
    candidates = gather_candidates(finals, prepared)
    chosen = candidates.preferred if _is_expressible(params) else STUDENT
    first = finals.members[0]
    if chosen == REFIT and finals.lesson(REFIT) is None and _is_time(REFIT_TRAININGS * first.facts["seconds"], until):
        progress.emit(PhaseStarted("training the winner on every labelled row"))
        _carry_out([finals.refit()], finals, study, prepared, progress)
    why = {
        STUDENT: f"a plain model that learned from the winner's {len(finals.members)} models, on every labelled row",
        AVERAGE: f"the mean of the weights of the winner's {len(finals.members)} models, but for those that spoil it",
        REFIT: "one model, trained as the winner on every labelled row",
        SINGLE: f"trial {first.number}'s model, which was trained without fold {first.facts['fold']}",
    }
    made = finals.lesson(chosen)
    name, file = (SINGLE, first.facts) if made is None else (chosen, made)
    evidence = f" (on fold {first.facts['fold']}: {candidates})" if len(candidates.named) > 1 else ""
    if name == STUDENT and candidates.unheard:
        evidence = " (it had no rehearsal: time was up)"
    return Shipped(
        winner,
        name,
        prepared.backbone_of(winner.params),
        student_params(params) if name == STUDENT else params,
        file["checkpoint"],
        file["checkpoint_sha256"],
        why[name] + evidence,
        candidates,
        candidates.lost if name == STUDENT else None,
    )


def build(shipped: Shipped, study: Study, prepared: Prepared) -> Any:
    """The model itself. Raises NothingUsable where its checkpoint is gone or was changed."""
    from automl.models.virtual_tokens import text_start

    return build_model(
        _starting_weights(shipped.backbone, shipped.params, study),
        prepared.kind,
        prepared.splits,
        shipped.params,
        Path(shipped.checkpoint),
        shipped.sha256,
        text_start(load_tokenizer(shipped.backbone.checkpoint)),
    )


def original(study: Study, winner: Configuration, prepared: Prepared) -> Original:
    """The winner's own models."""
    backbone, params = prepared.backbone_of(winner.params), Params(**prepared.space.params(winner.params))
    members = [
        Member(trial.facts["checkpoint"], trial.facts["checkpoint_sha256"], trial.number)
        for trial in Finals(study, winner, prepared.space).members
    ]
    weights = _starting_weights(backbone, params, study)
    names = prepared.splits.label_names
    return Original(weights, params, members, names, prepared.kind.name, backbone.max_length)


def _starting_weights(backbone: Backbone, params: Params, study: Study) -> Checkpoint:
    adaptation = adaptation_of(study, backbone)
    if params.starting_weights != "domain_adapted" or adaptation is None:
        return backbone.checkpoint
    return replace(resolve(adaptation["folder"]), name=backbone.checkpoint.name)


def _params(one: Configuration, prepared: Prepared) -> Params:
    return Params(**prepared.space.params(one.params))


def _is_expressible(params: Params) -> bool:
    return params.technique not in NOT_EXPRESSIBLE


def _is_time(seconds: float, until: float | None) -> bool:
    return until is None or time.monotonic() + seconds < until


def _carry_out(orders: Iterable[Order], finals: Finals, study: Study, prepared: Prepared, progress: Progress) -> None:
    from automl.training.worker import TrialWorker

    worker = TrialWorker(worker_setup(prepared, study, progress, "cpu"))
    for order in orders:
        *_, end = worker.work(order.payload)
        finals.done(order.name, {name: value for name, value in end.items() if name != "final"})


def as_facts(shipped: Shipped) -> dict[str, Any]:
    """What `result.json` says of it."""
    return {
        "shipped": shipped.why,
        "candidates": {name: {"value": one.value} for name, one in shipped.candidates.named.items()},
        "shipped_as": shipped.name,
    }
