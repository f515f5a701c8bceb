"""The kinds of task. A kind is one file: which columns it reads, what its labels are, its model class, loss and metric.

Everything outside this folder treats inputs, labels and predictions as opaque and asks the kind.
"""

from automl.errors import UsageError
from automl.tasks.kinds.classification import Classification
from automl.tasks.kinds.kind import Kind, LossRecipe, RawRows

__all__ = ["Kind", "LossRecipe", "RawRows", "kind_of"]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Classification(),)}


def kind_of(name: str, metric: str | None = None) -> Kind:
    """The kind of that name.

    Args:
        metric: what its models are chosen by; None is the kind's own choice.

    Raises:
        UsageError: the kind has no such metric.
    """
    kind = KINDS[name]
    if metric is not None and metric not in kind.metrics:
        raise UsageError(f"--metric {metric}: {name} has {', '.join(kind.metrics)}")
    return kind if metric is None else kind.by(metric)
