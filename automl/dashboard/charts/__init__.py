"""Tables to figures. Pure: nothing is read, nothing is shown."""

from automl.dashboard.charts.data import balance, confusion, learning_curve, lengths
from automl.dashboard.charts.params import contour, importances, parallel, rank, slices
from automl.dashboard.charts.progress import histories, history, one_training, states, steps, timeline
from automl.dashboard.charts.spread import best_of_n, distribution, intervals, seeds

__all__ = [
    "balance",
    "best_of_n",
    "confusion",
    "contour",
    "distribution",
    "histories",
    "history",
    "importances",
    "intervals",
    "learning_curve",
    "lengths",
    "one_training",
    "parallel",
    "rank",
    "seeds",
    "slices",
    "states",
    "steps",
    "timeline",
]
