"""What is exported of a search: the winner's best plain form, built, or made here where the search had no time."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
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
from automl.progress import Notice, PhaseStarted, Progress
from automl.selection import Difference
from automl.study import Study
from automl.training.distillation import NOT_EXPRESSIBLE, student_params
from automl.tuning.configurations import Configuration, configurations
from automl.tuning.duration import REFIT_TRAININGS, training_seconds
from automl.tuning.finals import AVERAGE, REFIT, STUDENT, Finals
from automl.tuning.kept import leader_with_models
from automl.tuning.orders import Order
from automl.tuning.policy import Policy
from automl.workload import adaptation_of, device_here, forecast_of, worker_setup


@dataclass(frozen=True)
class Shipped:
    """The model that is exported.

    Args:
        winner: the configuration that it comes from.
        name: which candidate it is.
        params: how it was trained; with them it is built from its checkpoint.
        why: in words, why it is this one.
        teachers: how many of the winner's own models it learned from; 0 where it is one of them, or repeats one.
        gain: what it is better by than one of these, on the rows of one fold.
        eligible: configurations that it was chosen among, where those were not all.
    """

    winner: Configuration
    name: str
    backbone: Backbone
    params: Params
    checkpoint: str
    sha256: str
    why: str
    candidates: Candidates
    teachers: int = 0
    gain: Difference | None = None
    eligible: Collection[int] | None = None


def choose_shipped(
    study: Study,
    policy: Policy,
    prepared: Prepared,
    progress: Progress,
    *,
    until: float | None = None,
    latest: float | None = None,
) -> Shipped:
    """The leader of the race in its best plain form.

    Where no class of transformers can hold it, that is its student; if that did clearly worse than it in the rehearsal,
    and a configuration that can be held did better, it is this one; likewise where no student could be made, or not in
    time.

    Args:
        until: when the user's time is over, on the clock of `time.monotonic`; None is never.
        latest: when a student has to be there that the winner cannot be shipped without; None: it is waited for.

    Raises:
        NothingUsable: no configuration was completed, or none can be shipped.
    """
    found = configurations(study.trials())
    winner = leader_with_models(policy, found)
    if winner is None:
        raise NothingUsable("no configuration was completed where all are compared; give more --time-limit or --budget")
    too_late = _is_too_late(study, winner, policy, prepared, latest)
    shipped = None if too_late else _plain_form(study, winner, prepared, progress, until)
    if shipped is not None and not (shipped.name == STUDENT and shipped.candidates.lost):
        return shipped
    eligible = [one for one in found if _is_expressible(_params(one, prepared))]
    other = leader_with_models(policy, eligible)
    if other is not None and (shipped is None or _worth(other, policy) > shipped.candidates.named[STUDENT].value):
        instead = _plain_form(study, other, prepared, progress, until)
        if instead is not None and Path(instead.checkpoint).exists():  # else it was far from winning, and time was up
            why = (
                f"no plain model was made of it{' in time' if too_late else ''}"
                if shipped is None
                else f"no plain model learns it ({shipped.candidates})"
            )
            why = f"{instead.why}; trial {winner.number} came first, but {why}"
            return replace(instead, why=why, eligible={one.number for one in eligible})
    if too_late:
        progress.emit(Notice("warning", "time is up, but nothing can be shipped yet: that takes a last training"))
        shipped = _plain_form(study, winner, prepared, progress, until)
    if shipped is None:
        raise NothingUsable(
            f"no plain model could be made of trial {winner.number}, and nothing else can be shipped in its place; "
            "run the same command again, or with techniques that transformers has a class for"
        )
    return shipped


def _worth(one: Configuration, policy: Policy) -> float:
    return one.trials[policy.cells[0]].value or 0.0


def _plain_form(
    study: Study, winner: Configuration, prepared: Prepared, progress: Progress, until: float | None
) -> Shipped | None:
    """The student of all models, their average, or one model trained like them on every row, whichever is preferred.

    None where it has no plain form: transformers cannot hold its own, and a student could not be made.
    """
    params, finals = _params(winner, prepared), Finals(study, winner, prepared.space)
    if not _is_expressible(params) and (finals.lesson(STUDENT) is None or (finals.open and until is None)):
        progress.emit(PhaseStarted("teaching a plain model what the winner knows"))
        _carry_out(_lessons(finals, rehearsed=until is None), finals, study, prepared, progress)
    candidates = gather_candidates(finals, prepared)
    chosen = candidates.preferred if _is_expressible(params) else STUDENT
    first = finals.members[0]
    if chosen == REFIT and finals.lesson(REFIT) is None and _is_time(REFIT_TRAININGS * training_seconds(first), until):
        progress.emit(PhaseStarted("training the winner on every labelled row"))
        _carry_out([finals.refit()], finals, study, prepared, progress)
    why = {
        STUDENT: f"a plain model that learned from {finals.committee}, on every labelled row",
        AVERAGE: f"the mean of the weights of {finals.committee}, but for those that spoil it",
        REFIT: "one model, trained as the winner on every labelled row",
        SINGLE: f"trial {first.number}'s model, which was trained without fold {first.facts['fold']}",
    }
    made = finals.lesson(chosen)
    if made is None and not _is_expressible(params):
        return None
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
        len(finals.members) if name in (STUDENT, AVERAGE) else 0,
        candidates.lead(name, SINGLE) if name != SINGLE and name in candidates.named else None,
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


def _is_too_late(study: Study, winner: Configuration, policy: Policy, prepared: Prepared, latest: float | None) -> bool:
    """Whether the student, which has yet to be made and the winner cannot be shipped without, would come too late."""
    made = Finals(study, winner, prepared.space).lesson(STUDENT) is not None
    if latest is None or made or _is_expressible(_params(winner, prepared)):
        return False
    seconds = forecast_of(prepared, policy, workers=1).lessons(winner, study.trials(), rehearsed=False)
    return not _is_time(seconds, latest)


def _lessons(finals: Finals, *, rehearsed: bool) -> Iterator[Order]:
    """What is to be done for the student, and for its rehearsal unless time is short."""
    while rehearsed or finals.lesson(STUDENT) is None:
        order = finals.next()
        if order is None:
            return
        yield order


def _is_time(seconds: float, until: float | None) -> bool:
    return until is None or time.monotonic() + seconds < until


def _carry_out(orders: Iterable[Order], finals: Finals, study: Study, prepared: Prepared, progress: Progress) -> None:
    """Do last steps in this process. One that breaks ends them: what there is already can still be shipped."""
    from automl.training.worker import TrialWorker

    worker = TrialWorker(worker_setup(prepared, study, progress, device_here(prepared.request)))
    for order in orders:
        try:
            *_, end = worker.work(order.payload)
        except Exception as error:
            finals.failed(order.name, f"{type(error).__name__}: {error}")
            progress.emit(Notice("warning", f"{order.name}: {error}; another model is shipped in its place"))
            return
        finals.done(order.name, {name: value for name, value in end.items() if name != "final"})


def as_facts(shipped: Shipped) -> dict[str, Any]:
    """What `result.json` says of it."""
    return {
        "shipped": shipped.why,
        "candidates": {name: {"value": one.value} for name, one in shipped.candidates.named.items()},
        "shipped_as": shipped.name,
    }
