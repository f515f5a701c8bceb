"""What evidence of finished trials supports: the choice, the number to expect, what is no worse, the label audit."""

from automl.selection.audit import Finding, audit, write_audit
from automl.selection.best import best_trial
from automl.selection.choose import Standing, finalists, rank, weaker
from automl.selection.compare import Difference, differences, not_distinguishable_from
from automl.selection.estimate import Estimate, estimate
from automl.selection.evidence import Evidence, gather

__all__ = [
    "Difference",
    "Estimate",
    "Evidence",
    "Finding",
    "Standing",
    "audit",
    "best_trial",
    "differences",
    "estimate",
    "finalists",
    "gather",
    "not_distinguishable_from",
    "rank",
    "weaker",
    "write_audit",
]
