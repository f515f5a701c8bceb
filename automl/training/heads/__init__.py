"""Heads that are fitted on the features of a frozen encoder in milliseconds: linear, a small network, neighbours.

Features are standardised by the training rows. Where a head allows it, that step (and the mixing of layers) is folded
into its first matrix, so that `logits = features @ weight.T + bias` on the encoder's plain features.
"""

from automl.training.heads.fit import fit_head
from automl.training.heads.head import Head, load_head

__all__ = ["Head", "fit_head", "load_head"]
