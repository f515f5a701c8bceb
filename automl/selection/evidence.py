"""What a study's configurations said of rows that they did not see in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from automl.metrics import METRICS, row_losses


@dataclass(frozen=True)
class Evidence:
    """Out-of-fold probabilities, paired: every configuration has the same folds and the same repeats (seeds).

    Args:
        labels: [rows], ids from 0: every row that some fold holds out.
        folds: [rows], the fold that holds out each row, in every repeat; all 0 for a held-out split.
        probabilities: configuration -> [repeats, rows, labels] float32, NaN where a row was not held out in that
            repeat: a configuration that was dropped early has its first cells only. A cell is one fold of one repeat.
        groups: [rows], of rows that belong together, as those of one author; None: each stands for itself.
    """

    labels: np.ndarray
    folds: np.ndarray
    probabilities: Mapping[int, np.ndarray]
    groups: np.ndarray | None = None

    @property
    def numbers(self) -> list[int]:
        """Configurations that said anything at all, ascending."""
        return sorted(number for number in self.probabilities if self.covered(number).any())

    def covered(self, number: int) -> np.ndarray:
        """Where the configuration has spoken, [repeats, rows]. A row with any NaN is not covered."""
        covered: np.ndarray = ~np.isnan(self.probabilities[number]).any(axis=-1)
        return covered

    def shared(self, numbers: Sequence[int]) -> np.ndarray:
        """What all of them cover, [repeats, rows] bool."""
        shared: np.ndarray = np.logical_and.reduce([self.covered(number) for number in numbers])
        return shared

    def predictions(self, number: int) -> np.ndarray:
        """Label ids, [repeats, rows]; -1 where not covered."""
        return predicted(self.probabilities[number])

    def losses(self, number: int) -> np.ndarray:
        """Log-loss of each row, [repeats, rows]; NaN where not covered."""
        return row_losses(self.labels, self.probabilities[number])

    def ensemble(self, number: int) -> np.ndarray:
        """Mean of the probabilities over the repeats that cover a row, [rows, labels]; NaN where none does."""
        used = self.covered(number)
        summed = np.where(used[..., None], self.probabilities[number], 0).sum(axis=0)
        times = used.sum(axis=0)[:, None]
        mean: np.ndarray = np.divide(summed, times, out=np.full(summed.shape, np.nan, np.float32), where=times > 0)
        return mean

    def repeat_scores(self, number: int, metric: str, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The metric of each repeat that has rows in `cells` [repeats, rows], and the number of those rows.

        The rows of a repeat's folds are scored together: F1 has a bias where it is averaged over small folds.
        Source: Forman and Scholz (2010), Apples-to-apples in cross-validation studies.
        """
        predictions, used = self.predictions(number), [repeat for repeat in range(len(cells)) if cells[repeat].any()]
        scores = [METRICS[metric](self.labels[cells[r]], predictions[r][cells[r]]) for r in used]
        return np.array(scores), cells[used].sum(axis=1)

    def score(self, number: int, metric: str, cells: np.ndarray | None = None) -> float:
        """Mean of the metric over repeats, weighted by their rows; by default over all that it covers."""
        scores, rows = self.repeat_scores(number, metric, self.covered(number) if cells is None else cells)
        return float(np.average(scores, weights=rows))


def gather(
    labels: np.ndarray,
    folds: np.ndarray,
    cells: Mapping[tuple[int, int, int], np.ndarray],
    repeats: int,
    groups: np.ndarray | None = None,
) -> Evidence:
    """Evidence from single trainings.

    Args:
        labels: [rows].
        folds: [rows], from 0.
        cells: (configuration, repeat, fold) -> [rows of that fold, labels], in the order of the rows.
        repeats: how many repeats the study has, at least 1 more than any that is named.
        groups: [rows], as in `Evidence`.
    """
    widths = {number: said.shape[1] for (number, _, _), said in cells.items()}
    probabilities = {
        number: np.full((repeats, len(labels), width), np.nan, np.float32) for number, width in widths.items()
    }
    for (number, repeat, fold), said in cells.items():
        probabilities[number][repeat, folds == fold] = said
    return Evidence(labels, folds, probabilities, groups)


def predicted(probabilities: np.ndarray) -> np.ndarray:
    """The likeliest label of each row, [..., rows] of [..., rows, labels]; -1 where one is NaN."""
    unknown = np.isnan(probabilities).any(axis=-1)
    return np.where(unknown, -1, np.where(unknown[..., None], 0, probabilities).argmax(axis=-1))
