"""The kinds of task. A kind is one file: which columns it reads, what its labels are, its model class, loss and metric.

Everything outside this folder treats inputs, labels and predictions as opaque and asks the kind.
"""

from automl.tasks.kinds.classification import Classification
from automl.tasks.kinds.kind import Kind, LossRecipe, RawRows

__all__ = ["Kind", "LossRecipe", "RawRows", "kind_of"]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Classification(),)}


def kind_of(name: str) -> Kind:
    """The kind of that name."""
    return KINDS[name]
