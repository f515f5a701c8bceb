"""Values over params, as Optuna draws them, in this look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from automl.dashboard.charts.look import HEIGHT, PALETTE, SCALE, drawn

if TYPE_CHECKING:
    import optuna


def importances(study: optuna.Study, metric: str) -> go.Figure:
    """How much each param tells of a value."""
    from optuna.visualization import plot_param_importances

    return _restyled(plot_param_importances(study, target_name=metric))


def parallel(study: optuna.Study, params: Sequence[str], metric: str) -> go.Figure:
    """All configurations as lines through their params."""
    from optuna.visualization import plot_parallel_coordinate

    return _restyled(plot_parallel_coordinate(study, params=list(params) or None, target_name=metric), height=460)


def slices(study: optuna.Study, params: Sequence[str], metric: str) -> go.Figure:
    """Values against each param."""
    from optuna.visualization import plot_slice

    return _restyled(plot_slice(study, params=list(params) or None, target_name=metric))


def contour(study: optuna.Study, params: Sequence[str], metric: str) -> go.Figure:
    """Values over two params."""
    from optuna.visualization import plot_contour

    return _restyled(plot_contour(study, params=list(params), target_name=metric), height=460)


def rank(study: optuna.Study, params: Sequence[str], metric: str) -> go.Figure:
    """Ranks of values over two params."""
    from optuna.visualization import plot_rank

    return _restyled(plot_rank(study, params=list(params), target_name=metric), height=460)


def _restyled(figure: go.Figure, height: int = HEIGHT) -> go.Figure:
    """Optuna's figure in this look."""
    figure.update_layout(title=None, template="plotly", colorway=PALETTE)
    figure.update_traces(marker_colorscale=SCALE, selector={"type": "scatter"})
    return drawn(figure, None, None, height)
