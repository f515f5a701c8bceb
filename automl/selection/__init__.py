"""What evidence of finished trials supports: the choice, the number to expect, what is no worse, the label audit."""

from automl.selection.audit import Finding, audit, write_audit
from automl.selection.compare import Difference, differences
from automl.selection.estimate import Estimate, careful, estimate
from automl.selection.evidence import Evidence, gather

__all__ = [
    "Difference",
    "Estimate",
    "Evidence",
    "Finding",
    "audit",
    "careful",
    "differences",
    "estimate",
    "gather",
    "write_audit",
]
