"""The end of a search: the winner, its one look at the test split, the baselines beside it, and the exported folder."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from automl.baselines import fit_baselines
from automl.data.batches import encode
from automl.errors import Interrupted, NothingUsable
from automl.export.card import write_card
from automl.export.folder import build_model, write_folder
from automl.metrics import METRICS, SCORES
from automl.models.checkpoint import load_tokenizer
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
    model = build_model(prepared.checkpoint, prepared.kind, prepared.splits, winner)
    test = _test_score(study, model, winner, prepared, progress)
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
            "params": Params(**{**prepared.space.fixed(), **winner.params}).model_dump(),
            "best_step": winner.facts["best_step"],
        },
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
