"""The end of a search: the winner, its one look at the test split, the baselines beside it, and the exported folder."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from automl.baselines import fit_baselines
from automl.data.batches import encode
from automl.errors import Interrupted, NothingUsable
from automl.export.card import write_card
from automl.export.folder import build_model, write_folder
from automl.metrics import METRICS, SCORES
from automl.models.checkpoint import load_tokenizer, resolve
from automl.params import Params
from automl.prepare import Prepared, describe_data, versions
from automl.progress import PhaseStarted, Progress
from automl.records import Score, State, Trial
from automl.selection import best_trial
from automl.study import Study


def finish(
    study: Study, prepared: Prepared, progress: Progress, *, started: float, interrupted: bool
) -> dict[str, Any]:
    """Choose, test once, export. The content of `result.json`.

    Args:
        started: when the search began, on the clock of `time.monotonic`.

    Raises:
        NothingUsable: no trial was completed.
        Interrupted: likewise, because the user stopped the search.
    """
    trials = study.trials()
    winner = best_trial(trials)
    if winner is None:
        if interrupted:
            raise Interrupted(
                "stopped before a first trial was completed; the same command goes on where this one stopped"
            )
        raise NothingUsable(_why_nothing(trials))
    progress.emit(PhaseStarted("building the winner and the baselines"))
    shipped = _shipped(study, winner, prepared, progress)
    model = _build(shipped, study, prepared)
    test = _test_score(study, model, shipped, prepared, progress)
    baselines = _baseline_scores(prepared)
    states = [trial.state for trial in trials]
    result = {
        "study": study.name,
        "task": prepared.task.name,
        "metric": prepared.kind.metric,
        "validation": winner.value,
        "test": asdict(test),
        "baselines": baselines,
        "trials": {state.value.lower(): states.count(state) for state in (State.COMPLETE, State.PRUNED, State.FAIL)},
        "seconds": round(time.monotonic() - started, 1),
        "model_dir": str(prepared.output),
        "winner": {
            "trial": winner.number,
            "params": _params(winner, prepared).model_dump(),
            "named": [param.name for param in prepared.space.params],
            "best_step": winner.facts["best_step"],
        },
        "distilled": shipped.facts.get("distilled"),
        "domain_adaptation": study.facts.get("domain_adaptation"),
        "model": prepared.checkpoint.name,
        "pipeline": prepared.kind.pipeline,
        "labels": list(prepared.splits.label_names),
        "max_length": prepared.max_length,
        "seed": prepared.request.seed,
        "data": describe_data(prepared),
        "stand_in": prepared.task.stand_in,
        "test_reads": study.facts["test"]["reads"],
        "budget": prepared.request.budget,
        "interrupted": interrupted,
        "versions": versions(),
        "command": prepared.request.command,
    }
    progress.emit(PhaseStarted(f"writing {prepared.output}"))
    write_folder(prepared.output, model, prepared.checkpoint, prepared.max_length, result, write_card(result))
    return result


def _shipped(study: Study, winner: Trial, prepared: Prepared, progress: Progress) -> Trial:
    """What is exported: the winner, or a plain model taught by it where transformers has no class for it."""
    from automl.training.distillation import NOT_EXPRESSIBLE, STUDENT

    params = _params(winner, prepared)
    if params.technique not in NOT_EXPRESSIBLE:
        return winner
    recorded = study.facts.get("distilled")
    if recorded is None or recorded["teacher_sha256"] != winner.facts["checkpoint_sha256"]:
        progress.emit(PhaseStarted(f"distilling the winner, technique {params.technique}, into a plain model"))
        recorded = _distil(study, winner, prepared, params, progress)
        study.record("distilled", recorded)
    facts = {**winner.facts, **recorded, "distilled": {"technique": params.technique, "validation": recorded["value"]}}
    student = STUDENT.model_copy(update={"starting_weights": params.starting_weights})
    return replace(winner, params=student.model_dump(), facts=facts)


def _distil(study: Study, winner: Trial, prepared: Prepared, params: Params, progress: Progress) -> dict[str, Any]:
    from automl.training.worker import TrialWorker
    from automl.workload import worker_setup

    worker = TrialWorker(worker_setup(prepared, study, progress, "cpu"))
    path, sha256 = Path(winner.facts["checkpoint"]), winner.facts["checkpoint_sha256"]
    facts = worker.distil(winner.number, params.model_dump(), path, sha256, prepared.request.seed)
    return {**facts, "teacher_sha256": sha256}


def _build(trial: Trial, study: Study, prepared: Prepared) -> Any:
    """The model of a trial. Raises NothingUsable where its checkpoint is gone or was changed."""
    from automl.models.virtual_tokens import text_start

    params = _params(trial, prepared)
    weights = prepared.checkpoint
    if params.starting_weights == "domain_adapted":
        weights = resolve(study.facts["domain_adaptation"]["folder"])
    return build_model(
        weights,
        prepared.kind,
        prepared.splits,
        params,
        Path(trial.facts["checkpoint"]),
        trial.facts["checkpoint_sha256"],
        text_start(load_tokenizer(prepared.checkpoint)),
    )


def _params(trial: Trial, prepared: Prepared) -> Params:
    return Params(**{**prepared.space.fixed(), **trial.params})


def _test_score(study: Study, model: Any, winner: Trial, prepared: Prepared, progress: Progress) -> Score:
    """The winner's score on the locked split, recorded so that resuming does not read it again for the same winner."""
    from automl.training.loop import predict_logits

    recorded = study.facts.get("test")
    if recorded is not None and recorded["checkpoint_sha256"] == winner.facts["checkpoint_sha256"]:
        return Score(**recorded["score"])
    progress.emit(PhaseStarted("reading the test split, once for this winner"))
    tokenizer = load_tokenizer(prepared.checkpoint)
    rows = prepared.splits.test
    encoded = encode(tokenizer, rows.inputs, rows.labels, prepared.max_length)
    predictions = prepared.kind.predict(predict_logits(model, encoded, tokenizer.pad_token_id))
    score = SCORES[prepared.kind.metric](rows.labels, predictions)
    fact = {
        "score": asdict(score),
        "trial": winner.number,
        "checkpoint_sha256": winner.facts["checkpoint_sha256"],
        "reads": 1 + (recorded["reads"] if recorded else 0),
    }
    study.record("test", fact)
    return score


def _baseline_scores(prepared: Prepared) -> dict[str, Any]:
    metric, validation, test = prepared.kind.metric, prepared.splits.validation, prepared.splits.test
    return {
        baseline.name: {
            "validation": METRICS[metric](validation.labels, baseline.predict(validation.inputs)),
            "test": asdict(SCORES[metric](test.labels, baseline.predict(test.inputs))),
        }
        for baseline in fit_baselines(prepared.splits.train, prepared.request.seed)
    }


def _why_nothing(trials: list[Trial]) -> str:
    errors = [trial.facts["error"] for trial in trials if "error" in trial.facts]
    if errors:
        return f"no trial was completed, {len(errors)} failed; the last one: {errors[-1]}"
    return "no trial was completed within the limits; run the same command with a larger --time-limit or --budget"
