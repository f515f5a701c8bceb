"""The honest number: the score to expect on unseen data of a configuration that was chosen for its score."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from automl.metrics import FORMULAS, LOWEST, Counts, at_least_wilson
from automl.selection.compare import Difference
from automl.selection.evidence import Evidence
from automl.selection.weighted import draw_weights, weighted_counts, weighted_scores

LIKELY = (2.5, 97.5)  # percentiles of a 95 % interval
NORMAL = 3.92  # standard deviations in it
PLACES = 9  # scores that agree to so many are tied
USUAL_SHARE = 0.04  # of the errors of one model: what one that learned from several makes less, in the mean of tasks
USUAL_SPREAD = 0.013  # of the score: standard deviation of that over tasks (benchmarks/LOG.md, 2026-11-22)


@dataclass(frozen=True)
class Estimate:
    """Expected score on unseen data with its 95 % interval over `rows` rows; `naive` is before correction."""

    value: float
    low: float
    high: float
    rows: int
    naive: float

    def moved(self, metric: str, by: float, low: float, high: float) -> Estimate:
        """What to expect of a model that is better by so much, of which the interval is `low` to `high`.

        What is known of the two comes from different rows, so that their errors add up as squares.
        """
        value = self.value + by
        least = value - math.hypot(self.value - self.low, by - low)
        most = value + math.hypot(self.high - self.value, high - by)
        value, least, most = (min(max(one, LOWEST[metric]), 1.0) for one in (value, least, most))
        return replace(self, value=value, low=least, high=most)


def careful(gain: Difference | None, errors: float) -> tuple[float, float, float]:
    """What a model that learned from several is better by than one of them, with its 95 % interval.

    As much as is usual, unless there are rows enough that say otherwise.

    Args:
        gain: what rows have shown; None is nothing.
        errors: 1 less the score of one of them, as far as several can correct it.

    Source: Efron and Morris (1973), Stein's estimation rule and its competitors.
    """
    value, half = USUAL_SHARE * errors, NORMAL / 2 * USUAL_SPREAD
    if gain is not None:
        error = max((gain.high - gain.low) / NORMAL, 1 / gain.rows)  # few rows may be agreed on by chance
        believed = USUAL_SPREAD**2 / (USUAL_SPREAD**2 + error**2)
        value += believed * (gain.value - value)
        half = NORMAL / 2 * math.sqrt(believed) * error
    return value, value - half, value + half


@dataclass(frozen=True)
class _Table:
    """Evidence as arrays; rows are ordered by what is said of them, so that the order they came in is no matter."""

    labels: np.ndarray  # [rows]
    predictions: np.ndarray  # [configurations, repeats, rows]
    losses: np.ndarray  # summed over the repeats, [configurations, rows] float32
    cells: np.ndarray  # what all of them know, [repeats, rows] bool


def estimate(
    evidence: Evidence,
    metric: str,
    winner: int,
    *,
    eligible: Collection[int] | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Repeat the choice among the finalists on bootstrap samples of the rows, and score it on the rows left out.

    The value comes from the counts of all samples together, since F1 has a bias on small ones. The interval is one of
    percentiles around it, which is careful: a sample leaves out 37 % of the rows. The value is careful too where
    configurations differ, since a sample chooses with fewer rows.

    The fold on which all were tried is left out where there are others, for it chose most: of 40 that are about equal
    (standard deviation .02) on 100 rows in five folds, the winner's naive score is 4 to 5 points too high; samples take
    off a third of it, and without the first fold more than half, at no larger error. Of those that differ more, little
    has to be taken off, and little is. Who was dropped in the folds after it is taken as given. Where there is but one
    held-out part, all that were trained to the end are chosen among, by their first seed.

    Args:
        winner: what was chosen, among those that know all that it knows.
        eligible: those that could be chosen; None is all.
        samples: how many bootstrap samples; fewer where rows are very many.

    Source: Tsamardinos, Greasidou and Borboudakis (2018), Bootstrapping the out-of-sample predictions for efficient
    and accurate cross-validation.
    """
    others = [number for number in _as_well_known(evidence, winner) if eligible is None or number in eligible]
    table, groups = _tabulate(evidence, [winner, *others])
    rows = len(table.labels)
    bags = draw_weights(rows, samples, seed, groups)
    chosen = _choices(table, metric, bags)
    naive, _, _ = _score_chosen(table, metric, np.ones((1, rows), np.float32), np.array([0]))
    left_out = (bags == 0).astype(np.float32)
    value, accuracy, single = _score_chosen(table, metric, left_out, chosen)
    if np.isnan(single).all():  # of a single row nothing can be left out
        value, accuracy, single = _score_chosen(table, metric, bags, chosen)
    spread = single[~np.isnan(single)]
    low, high = np.percentile(spread, LIKELY) - spread.mean() + value
    low, high = at_least_wilson(metric, value, float(low), float(high), accuracy, rows)
    return Estimate(value, min(low, value), max(high, value), rows, naive)


def _as_well_known(evidence: Evidence, winner: int) -> list[int]:
    """The others that cover every cell that the winner covers: those that it was chosen among."""
    cells = evidence.covered(winner)
    if not evidence.folds.any():
        cells[1:] = False
    return [number for number in evidence.numbers if number != winner and evidence.covered(number)[cells].all()]


def _tabulate(evidence: Evidence, numbers: list[int]) -> tuple[_Table, np.ndarray | None]:
    """The rows that all of them know in some repeat, but for those of the first fold, and their groups."""
    cells = evidence.shared(numbers)
    later = cells & (evidence.folds != 0)
    cells = later if later.any() else cells
    predictions = np.stack([evidence.predictions(number) for number in numbers])
    losses = np.stack([np.where(cells, evidence.losses(number), 0).sum(axis=0) for number in numbers])
    keys = np.where(cells, predictions, -1).reshape(-1, len(evidence.labels))
    order = np.lexsort([*keys, evidence.labels, losses.sum(axis=0)])
    order = order[np.any(cells, axis=0)[order]]
    losses = losses[:, order].astype(np.float32)
    groups = None if evidence.groups is None else evidence.groups[order]
    return _Table(evidence.labels[order], predictions[..., order], losses, cells[:, order]), groups


def _choices(table: _Table, metric: str, bags: np.ndarray) -> np.ndarray:
    """What each sample chooses: the best score, then the least log-loss; [samples] of places in the table."""
    scores = weighted_scores(metric, table.labels, table.predictions, table.cells, bags)
    losses = bags @ table.losses.T
    choices: np.ndarray = np.lexsort((losses, -np.nan_to_num(scores).round(PLACES)))[:, 0]
    return choices


def _score_chosen(
    table: _Table, metric: str, weights: np.ndarray, chosen: np.ndarray
) -> tuple[float, float, np.ndarray]:
    """Scores of what each sample chose: of all samples' counts together, their accuracy, and each sample's own."""
    distinct, which = np.unique(chosen, return_inverse=True)
    pooled, accuracy, single = 0.0, 0.0, np.zeros(len(weights))
    for repeat, rows in enumerate(table.cells):
        if not rows.any():
            continue
        counts = weighted_counts(
            metric, table.labels[rows], table.predictions[distinct][:, repeat, rows], weights[:, rows]
        )
        own = Counts(*(part[np.arange(len(which)), which] for part in (counts.hits, counts.predicted, counts.given)))
        together = Counts(own.hits.sum(axis=0), own.predicted.sum(axis=0), own.given.sum(axis=0))
        share = rows.sum() / table.cells.sum()
        pooled += share * float(FORMULAS[metric](together))
        accuracy += share * float(FORMULAS["accuracy"](together))
        single += share * FORMULAS[metric](own)
    return float(pooled), float(accuracy), single
