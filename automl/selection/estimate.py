"""The honest number: the score to expect on unseen data of a configuration that was chosen for its score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from automl.metrics import FORMULAS, Counts, at_least_wilson
from automl.selection.choose import PLACES, rank, shared_cells
from automl.selection.evidence import Evidence, predicted
from automl.selection.weighted import draw_weights, weighted_counts, weighted_scores

LIKELY = (2.5, 97.5)  # percentiles of a 95 % interval


@dataclass(frozen=True)
class Estimate:
    """Expected score on unseen data with its 95 % interval over `rows` rows; `naive` is before correction."""

    value: float
    low: float
    high: float
    rows: int
    naive: float

    def less(self, value: float, low: float, high: float) -> Estimate:
        """What to expect of a model that is worse by so much, of which the interval is `low` to `high`."""
        return replace(self, value=self.value - value, low=self.low - high, high=self.high - low)

    def with_errors(self, value: float, low: float, high: float) -> Estimate:
        """What to expect of a model that keeps this share of its errors, of which the interval is `low` to `high`."""
        return replace(
            self, value=1 - (1 - self.value) * value, low=1 - (1 - self.low) * high, high=1 - (1 - self.high) * low
        )


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
    *,
    winner: int | None = None,
    of: Literal["mean", "ensemble"] = "mean",
    samples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Repeat the choice among the finalists on bootstrap samples of the rows, and score it on the rows left out.

    The choice is `rank`'s, without caution. The value comes from the counts of all samples together, since F1 has a
    bias on small ones. The interval is one of percentiles around it, which is careful: a sample leaves out 37 % of the
    rows. The value is careful too where configurations differ, since a sample chooses with fewer rows, and because
    nothing is added for training on all rows in the end.

    Who became a finalist is taken as given. Where 8 of 40 equals went on after a fifth of the rows, that left a quarter
    of the naive score's optimism, and half of it for 3 of 40. To let each sample drop the weak anew, by its own rows,
    hardly changed that (the rows left out have still helped to choose those with evidence), and made the value of
    configurations that differ up to 2.5 points too low.

    Args:
        winner: what was chosen, among those that know all that it knows; None for the first by `rank`.
        of: "mean" is the score of one repeat's model, "ensemble" that of the mean of its repeats' probabilities.
        samples: how many bootstrap samples; fewer where rows are very many.

    Raises:
        NothingUsable: no configuration said anything.

    Source: Tsamardinos, Greasidou and Borboudakis (2018), Bootstrapping the out-of-sample predictions for efficient
    and accurate cross-validation.
    """
    if winner is None:
        numbers = [standing.number for standing in rank(evidence, metric)]
    else:
        numbers = [winner, *_as_well_known(evidence, winner)]
    table, order = _tabulate(evidence, numbers)
    rows = len(table.labels)
    bags = draw_weights(rows, samples, seed)
    chosen = _choices(table, metric, bags)
    if of == "ensemble":
        table = _ensembles(evidence, numbers, table, order)
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
    return [number for number in evidence.numbers if number != winner and evidence.covered(number)[cells].all()]


def _tabulate(evidence: Evidence, numbers: list[int]) -> tuple[_Table, np.ndarray]:
    """The rows that all of them know in some repeat, and which those are, in order."""
    cells = shared_cells(evidence, numbers)
    predictions = np.stack([evidence.predictions(number) for number in numbers])
    losses = np.stack([np.where(cells, evidence.losses(number), 0).sum(axis=0) for number in numbers])
    keys = np.where(cells, predictions, -1).reshape(-1, len(evidence.labels))
    order = np.lexsort([*keys, evidence.labels, losses.sum(axis=0)])
    order = order[np.any(cells, axis=0)[order]]
    losses = losses[:, order].astype(np.float32)
    return _Table(evidence.labels[order], predictions[..., order], losses, cells[:, order]), order


def _ensembles(evidence: Evidence, numbers: list[int], table: _Table, order: np.ndarray) -> _Table:
    """The table with one repeat: what the mean over the repeats predicts."""
    cells = shared_cells(evidence, numbers)
    said = np.stack([predicted(evidence.ensemble(number, cells))[order] for number in numbers])
    return replace(table, predictions=said[:, None], cells=np.ones((1, len(order)), bool))


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
