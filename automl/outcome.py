"""The end of a search: the verdict, the shipped model's one look at the test split, and the exported folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from automl.backbones import Backbone
from automl.data.batches import encode
from automl.errors import Interrupted, NothingUsable
from automl.export.card import write_card
from automl.export.folder import write_folder
from automl.export.original import Original, probabilities
from automl.learning_curve import Share, kept_errors
from automl.metrics import METRICS, SCORES, by_label
from automl.models.checkpoint import LOCAL, licence, load_tokenizer
from automl.params import Params
from automl.prepare import Prepared, describe_data, versions
from automl.progress import Notice, PhaseStarted, Progress
from automl.records import Rows, Score, State, Trial
from automl.selection import audit, write_audit
from automl.shipping import Shipped, build, choose_shipped, original
from automl.shipping import as_facts as told
from automl.spaces import presets
from automl.study import Study
from automl.study.record import RESULT
from automl.tuning.finals import REFIT, STUDENT
from automl.tuning.policy import Policy
from automl.tuning.warm_start import WARM_START
from automl.verdict import SimpleModels, Verdict, as_facts, judge
from automl.workload import adaptation_of

TEST, BASELINES, ORIGINAL = "test", "baselines", "original"  # study facts: resuming does not read test rows again
AUDIT = "audit.csv"  # in the study's folder, not in the model's: it holds the user's texts


def finish(
    study: Study,
    policy: Policy,
    prepared: Prepared,
    simple: SimpleModels,
    progress: Progress,
    *,
    started: float,
    until: float | None,
    latest: float | None,
    interrupted: bool,
    ended: str,
) -> dict[str, Any]:
    """Choose, say what to expect, test once, export. The content of `result.json`.

    Args:
        simple: the baselines, and what they said of held-out rows.
        started: when the search began, on the clock of `time.monotonic`.
        ended: why no more was tried, where trials are left.
        until: when trainings have to be over, on the same; None is never.
        latest: likewise those without which the winner cannot be shipped.

    Raises:
        NothingUsable: no trial was completed.
        Interrupted: likewise, because the user stopped the search.
    """
    trials = study.trials()
    _require_complete(trials, interrupted)
    progress.emit(PhaseStarted("choosing, and comparing with the baselines"))
    shipped = choose_shipped(study, policy, prepared, progress, until=until, latest=latest)
    verdict = judge(
        shipped.winner,
        study,
        policy,
        prepared,
        simple.predictions,
        eligible=shipped.eligible,
        teachers=shipped.teachers,
        gain=shipped.gain,
        kept=_kept(shipped, simple, prepared),
    )
    progress.emit(Notice("info", f"expected on unseen data: {prepared.kind.metric} {_expected(verdict)}"))
    audited = _write_audit(verdict, prepared)
    backbone, model = shipped.backbone, build(shipped, study, prepared)
    test = _tested_once(study, model, shipped, prepared, progress)
    kept = original(study, shipped.winner, prepared) if prepared.request.keep_original else None
    progress.emit(PhaseStarted("testing the baselines"))
    result = {
        **_about(study, prepared, backbone),
        **_found(shipped, verdict, simple, prepared),
        "test": test["score"],
        "test_reads": test["reads"],
        "by_label": test.get("by_label", {}),  # what an earlier version recorded has none
        "baselines": _tested(study, simple, verdict, prepared),
        "original": None if kept is None else _original_facts(study, kept, prepared),
        "trials": _ends(trials),
        "audited_rows": audited,
        "interrupted": interrupted,
        "ended": ended,
        "seconds": round(time.monotonic() - started, 1),
    }
    progress.emit(PhaseStarted(f"writing {prepared.output}"))
    write_folder(prepared.output, model, backbone.checkpoint, backbone.max_length, result, write_card(result), kept)
    study.record(RESULT, {**result, "model_dir": str(prepared.output.resolve())})  # for who reads the database alone
    return result


def _kept(shipped: Shipped, simple: SimpleModels, prepared: Prepared) -> Share | None:
    """Of the errors, what a model keeps that was trained on all rows, where those that were compared had fewer."""
    if shipped.name not in (STUDENT, REFIT):
        return None
    curve = simple.curves[shipped.backbone.name]
    return kept_errors(curve, len(prepared.splits.labelled) - curve.rows[-1], prepared.request.seed)


def _about(study: Study, prepared: Prepared, backbone: Backbone) -> dict[str, Any]:
    """What was searched over, with what, and where everything is."""
    request = prepared.request
    return {
        "study": study.name,
        "task": prepared.task.name,
        "metric": prepared.kind.metric,
        "model_dir": str(prepared.output),
        "audit": str(prepared.folder / AUDIT),
        "warm_start": study.facts.get(WARM_START, []),
        "domain_adaptation": adaptation_of(study, backbone),
        "model": backbone.checkpoint.name,
        "model_is_local": backbone.checkpoint.source == LOCAL,
        "licence": licence(backbone.checkpoint),
        "models": prepared.models,
        "pipeline": prepared.kind.pipeline,
        "labels": list(prepared.splits.label_names),
        "max_length": backbone.max_length,
        "seed": request.seed,
        "data": describe_data(prepared),
        "stand_in": prepared.task.stand_in,
        "budget": request.budget,
        "versions": versions(),
        "command": request.command,
        "own_space": None if request.search_space in presets() else prepared.space.written.text,
    }


def _found(shipped: Shipped, verdict: Verdict, simple: SimpleModels, prepared: Prepared) -> dict[str, Any]:
    """What won, what ships, and what to expect of it."""
    return {
        **as_facts(verdict),
        **told(shipped),
        "winner": _winner(verdict, prepared),
        "learning_curve": asdict(simple.curves[shipped.backbone.name]),
        "needs_peft": shipped.params.technique == "prefix_tuning",  # a student of prefixes has none
    }


def _winner(verdict: Verdict, prepared: Prepared) -> dict[str, Any]:
    space, winner = prepared.space, verdict.winner
    arm = space.arm_of(winner.params)
    return {
        "trial": winner.number,
        "arm": arm,
        "params": Params(**space.params(winner.params)).model_dump(),
        "named": [param.name for param in space.entries(arm)],
        "trainings": sorted(trial.number for trial in winner.completed),
    }


def _ends(trials: Sequence[Trial]) -> dict[str, int]:
    states = [trial.state for trial in trials]
    return {state.value.lower(): states.count(state) for state in (State.COMPLETE, State.PRUNED, State.FAIL)}


def _expected(verdict: Verdict) -> str:
    one = verdict.estimate
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f}), said before the test split is read"


def _tested(study: Study, simple: SimpleModels, verdict: Verdict, prepared: Prepared) -> dict[str, Any]:
    """Value of each baseline on the rows that the winner has one on, and test score, fitted on every labelled row.

    The test scores are recorded: they are the same whatever wins, so that resuming does not read the rows again.
    """
    test, metric = prepared.splits.test, prepared.kind.metric
    if BASELINES not in study.facts:
        fitted = {baseline.name: baseline.fit(prepared.splits.labelled) for baseline in simple.baselines}
        study.record(BASELINES, {name: asdict(_score(metric, test, fit(test.inputs))) for name, fit in fitted.items()})
    rows = verdict.held_out
    labels = verdict.evidence.labels[rows]
    return {
        name: {"validation": METRICS[metric](labels, said[rows]), "test": study.facts[BASELINES][name]}
        for name, said in simple.predictions.items()
    }


def _score(metric: str, rows: Rows, predictions: np.ndarray) -> Score:
    return SCORES[metric](rows.labels, predictions, rows.groups)


def _write_audit(verdict: Verdict, prepared: Prepared) -> int:
    """Rows that a person should look at, and of how many the label was judged, by what the winner said of them unseen.

    Rows that were left out because a labelled one has their text are among them.
    """
    splits = prepared.splits
    rows = splits.labelled.joined(splits.repeated)
    probabilities = np.full((len(rows), len(splits.label_names)), np.nan, dtype=np.float32)
    probabilities[np.flatnonzero(splits.folds >= 0)] = verdict.evidence.ensemble(verdict.winner.number)
    findings = audit(rows.inputs, rows.labels, probabilities, splits.label_names)
    if rows.origins is not None:
        findings = [finding.located(rows.origins) for finding in findings]
    write_audit(prepared.folder / AUDIT, findings)
    return int((~np.isnan(probabilities).any(axis=1)).sum())


def _tested_once(
    study: Study, model: Any, shipped: Shipped, prepared: Prepared, progress: Progress
) -> Mapping[str, Any]:
    """What the shipped model does on the locked split, recorded: resuming does not read it again for the same model."""
    from automl.training.loop import predict_logits

    recorded: Mapping[str, Any] | None = study.facts.get(TEST)
    if recorded is not None and recorded["checkpoint_sha256"] == shipped.sha256:
        return recorded
    progress.emit(PhaseStarted("reading the test split, once for this model"))
    tokenizer = load_tokenizer(shipped.backbone.checkpoint)
    rows = prepared.splits.test
    encoded = encode(tokenizer, rows.inputs, rows.labels, shipped.backbone.max_length)
    predictions = prepared.kind.predict(predict_logits(model, encoded, tokenizer.pad_token_id))
    fact = {
        "score": asdict(_score(prepared.kind.metric, rows, predictions)),
        "by_label": by_label(rows.labels, predictions, prepared.splits.label_names),
        "checkpoint_sha256": shipped.sha256,
        "reads": 1 + (recorded["reads"] if recorded else 0),
    }
    study.record(TEST, fact)
    return fact


def _original_facts(study: Study, kept: Original, prepared: Prepared) -> dict[str, Any]:
    """The winner's own models, and what they have on the locked split together: the cost of one in their place."""
    members = [member.sha256 for member in kept.members]
    recorded = study.facts.get(ORIGINAL)
    if recorded is None or recorded["members"] != members:
        rows = prepared.splits.test
        score = _score(prepared.kind.metric, rows, probabilities(kept, rows.inputs).argmax(axis=1))
        recorded = {"members": members, "score": asdict(score)}
        study.record(ORIGINAL, recorded)
    return {"models": len(members), "test": recorded["score"]}


def _require_complete(trials: Sequence[Trial], interrupted: bool) -> None:
    if any(trial.state is State.COMPLETE for trial in trials):
        return
    if interrupted:
        raise Interrupted("stopped before a first trial was completed; the same command goes on where this one stopped")
    errors = [trial.facts["error"] for trial in trials if "error" in trial.facts]
    if errors:
        raise NothingUsable(f"no trial was completed, {len(errors)} failed; the last one: {errors[-1]}")
    raise NothingUsable(
        "no trial was completed within the limits; run the same command with a larger --time-limit or --budget"
    )
