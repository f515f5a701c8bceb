"""What the record supports, before the test split is read: the winner, the number to expect, what is no worse."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.backbones import Backbone
from automl.baselines import Baseline, baselines
from automl.data.batches import encode
from automl.learning_curve import LearningCurve, Share, learning_curve
from automl.metrics import softmax
from automl.models.checkpoint import load, load_tokenizer
from automl.prepare import Prepared
from automl.records import State, Trial
from automl.selection import Difference, Estimate, Evidence, careful, differences, estimate, gather
from automl.study import Study
from automl.training.keep import read_logits
from automl.tuning.configurations import Configuration, configurations
from automl.tuning.policy import Policy


@dataclass(frozen=True)
class SimpleModels:
    """The baselines, and by name what they said of the held-out rows, [held-out rows].

    The curves are those of the frozen encoders, by backbone.
    """

    baselines: Sequence[Baseline]
    predictions: Mapping[str, np.ndarray]
    curves: Mapping[str, LearningCurve]


@dataclass(frozen=True)
class Verdict:
    """The configuration that is shipped, and how sure one can be of it."""

    winner: Configuration
    evidence: Evidence
    value: float  # mean over its folds and seeds: too high a guess, for it was chosen by it
    estimate: Estimate
    differences: Sequence[Difference]  # to baselines, and to the best configuration of every other arm

    @property
    def held_out(self) -> np.ndarray:
        """Which of the held-out rows its models have been scored on, [held-out rows] bool."""
        return np.asarray(self.evidence.covered(self.winner.number).any(axis=0))

    @property
    def not_distinguishable_from(self) -> list[str]:
        """Names of what the winner cannot be told from."""
        return [one.name for one in self.differences if not one.told_apart and not one.outdone]

    @property
    def outdone_by(self) -> list[str]:
        """Names of what is better than the winner by more than chance."""
        return [one.name for one in self.differences if one.outdone]


def judge(
    winner: Configuration,
    study: Study,
    policy: Policy,
    prepared: Prepared,
    simple: Mapping[str, np.ndarray],
    *,
    eligible: Collection[int] | None = None,
    teachers: int = 0,
    gain: Difference | None = None,
    kept: Share | None = None,
) -> Verdict:
    """How sure one can be of the configuration that is shipped, by all completed trials that the study has.

    Args:
        simple: label ids by name of a baseline, [held-out rows] in the order of the rows.
        eligible: configurations that could be shipped; None is all.
        teachers: how many of the winner's own models the shipped one learned from.
        gain: what it was then seen to be better by than one of these; None is nothing.
        kept: the share of the errors that it keeps because it was trained on more rows than those.
    """
    found = configurations(study.trials())
    evidence = gathered(found, policy, prepared)
    metric = prepared.kind.metric
    number = winner.number
    rivals: dict[str, np.ndarray] = dict(simple)
    for arm, rival in _best_of_arms(found, policy, prepared).items():
        if rival.number != number:
            rivals[f"{arm or 'configuration'} (trial {rival.number})"] = evidence.probabilities[rival.number]
    seed = prepared.request.seed
    expected = estimate(evidence, metric, number, eligible=eligible, seed=seed)
    if kept is not None:
        errors = 1 - expected.value
        more = (errors * (1 - share) for share in (kept.value, kept.high, kept.low))
        expected = expected.moved(metric, *more)
    if teachers:
        errors = 1 - expected.value if teachers > 1 else 0.0  # a single one has no errors that others would correct
        expected = expected.moved(metric, *careful(gain, errors))
    return Verdict(
        winner,
        evidence,
        evidence.score(number, metric),
        expected,
        differences(evidence.labels, evidence.probabilities[number], rivals, metric, groups=evidence.groups, seed=seed),
    )


def gathered(found: Sequence[Configuration], policy: Policy, prepared: Prepared) -> Evidence:
    """What every completed trial said of the rows that it did not see."""
    splits = prepared.splits
    held_out = np.flatnonzero(splits.folds >= 0)
    cells = policy.cells
    said = {
        (one.number, place // policy.n_folds, cell.fold): _probabilities(one.trials[cell])
        for one in found
        for place, cell in enumerate(cells)
        if cell in one.trials and one.trials[cell].state is State.COMPLETE
    }
    repeats = 1 + (len(cells) - 1) // policy.n_folds
    rows = splits.labelled.take(held_out)
    return gather(rows.labels, splits.folds[held_out], said, repeats, rows.groups)


def measured_baselines(prepared: Prepared) -> SimpleModels:
    """Fit every baseline fold by fold, on what is trained on there, and score it on what is held out."""
    splits = prepared.splits
    held_out = np.flatnonzero(splits.folds >= 0)
    simple = baselines(
        prepared.request.seed, {name: _embedder(prepared, one) for name, one in prepared.backbones.items()}
    )
    predictions = {baseline.name: np.zeros(len(held_out), dtype=np.int64) for baseline in simple}
    for fold in range(splits.n_folds):
        train, rows = splits.parts(fold)
        for baseline in simple:
            predictions[baseline.name][splits.folds[held_out] == fold] = baseline.fit(train)(rows.inputs)
    encoders = zip(prepared.backbones, simple[-len(prepared.backbones) :], strict=True)
    curves = {name: learning_curve(one, splits, prepared.kind.metric, prepared.request.seed) for name, one in encoders}
    return SimpleModels(simple, predictions, curves)


def _embedder(prepared: Prepared, backbone: Backbone) -> Callable[[Sequence[str]], np.ndarray]:
    """What a frozen encoder says of texts: its last layer, mean-pooled. Each text is asked once."""
    from automl.training.features import pooled_states
    from automl.training.precision import best_precision, computing_in

    tokenizer = load_tokenizer(backbone.checkpoint)
    model: Any
    model, _ = load(backbone.checkpoint, prepared.kind.auto_class, prepared.splits.label_names)
    known: dict[str, np.ndarray] = {}

    def embed(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            rows = encode(tokenizer, new, np.zeros(len(new), dtype=np.int64), backbone.max_length)
            with computing_in(model, best_precision("cpu")):
                states = pooled_states(model, rows, np.arange(len(new)), tokenizer.pad_token_id)["mean"][:, -1]
            known.update(zip(new, np.nan_to_num(states), strict=True))  # broken weights are told of by their trials
        return np.stack([known[text] for text in texts])

    return embed


def _best_of_arms(found: Sequence[Configuration], policy: Policy, prepared: Prepared) -> dict[str, Configuration]:
    """The best configuration of each arm, of those that came furthest: what a simpler choice would have been."""
    best: dict[str, Configuration] = {}
    for place in range(1, len(policy.cells) + 1):
        cells = policy.cells[:place]
        for one in sorted((one for one in found if one.complete(cells)), key=lambda one: one.worth(cells)):
            best[prepared.space.arm_of(one.params)] = one
    return best


def _probabilities(trial: Trial) -> np.ndarray:
    return softmax(read_logits(Path(trial.facts["predictions"]), trial.facts["predictions_sha256"]))


def as_facts(verdict: Verdict) -> dict[str, Any]:
    """What `result.json` says of it."""
    one = verdict.estimate
    return {
        "validation": verdict.value,
        "held_out_rows": int(verdict.held_out.sum()),
        "estimate": {"value": one.value, "low": one.low, "high": one.high, "rows": one.rows},
        "seeds": sorted({trial.facts["seed"] for trial in verdict.winner.completed}),
        "not_distinguishable_from": verdict.not_distinguishable_from,
        "outdone_by": verdict.outdone_by,
        "differences": {
            one.name: {"value": one.value, "low": one.low, "high": one.high} for one in verdict.differences
        },
    }
