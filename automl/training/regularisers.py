"""What keeps a training from learning its few rows by heart: mixout, averaged weights, mixup of hidden states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from automl.training.optimizer import weight_matrices

if TYPE_CHECKING:
    import torch

SWA_FROM = 0.75  # of the schedule: the weights before are not in the mean
Pair = tuple[np.ndarray, float]  # a permutation of the batch's rows, and the share that each row keeps of itself


@contextmanager
def mixout(
    model: Any, pretrained: Mapping[str, torch.Tensor], share: float, generator: torch.Generator
) -> Iterator[None]:
    """Mix pretrained values into the weight matrices for what one step computes; afterwards they are as before.

    Goes around every forward and backward pass between two steps of the optimiser. Each element of a matrix is set
    back with probability `share`, and the others are moved away from their pretrained value so that the mean stays
    what it was. Gradients that exist at the end are those of the mixed matrices, carried back to the own ones.

    Args:
        pretrained: values to mix in, by parameter name; matrices that are not in it, or do not train, stay whole.
        share: in [0, 1); 0 does nothing.
        generator: on the model's device; decides the elements.

    Source: Lee, Cho & Kang (2020), Mixout.
    """
    import torch

    mixed: list[tuple[torch.nn.Parameter, torch.Tensor, torch.Tensor]] = []  # matrix, own values, kept / (1 - share)
    matrices = weight_matrices(model) if share else {}
    try:
        with torch.no_grad():  # one matrix after the other: they stay in the processor's cache
            for name, matrix in matrices.items():
                if name in pretrained and matrix.requires_grad:
                    target = pretrained[name]
                    kept = torch.rand(matrix.shape, generator=generator, device=matrix.device).ge_(share)
                    mixed.append((matrix, matrix.clone(), kept.div_(1 - share)))
                    matrix.sub_(target).mul_(mixed[-1][2]).add_(target)
        yield
        for matrix, _, scale in mixed:
            if matrix.grad is not None:
                matrix.grad.mul_(scale)
    finally:
        with torch.no_grad():
            for matrix, own, _ in mixed:
                matrix.copy_(own)


class Averager:
    """Averages of a training's weights, to evaluate and to keep. "none" does nothing and costs nothing.

    "ema" decays over steps, faster at the start, so that a short training does not keep its first weights; "swa" is the
    plain mean over the steps of the schedule's last quarter. Before there is an average, it is the weights themselves.

    Args:
        parameters: those that will train.
        decay: what a step keeps of the average, below 1; for "ema".
        total: steps of the schedule.

    Source: Izmailov et al. (2018), Averaging Weights Leads to Wider Optima, for "swa".
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], how: Literal["none", "ema", "swa"], decay: float, total: int
    ) -> None:
        self._weights = [] if how == "none" else [parameter.detach() for parameter in parameters]  # share memory
        self._how, self._decay, self._total = how, decay, total
        self.mean: list[torch.Tensor] = []
        self.counted = 0

    def update(self, done: int) -> None:
        """Take in the weights after `done` steps."""
        import torch

        if not self._weights or (self._how == "swa" and done <= SWA_FROM * self._total):
            return
        self.counted += 1
        if not self.mean:
            self.mean = [weight.clone() for weight in self._weights]
            return
        n = self.counted
        share = 1 / n if self._how == "swa" else 1 - min(self._decay, n / (n + 9))
        torch._foreach_lerp_(self.mean, self._weights, share)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The model has its averaged weights inside, and its own ones again afterwards."""
        import torch

        own = [weight.clone() for weight in self._weights] if self.mean else []
        self.apply()
        try:
            yield
        finally:
            if own:
                torch._foreach_copy_(self._weights, own)

    def apply(self) -> None:
        """Give the model its averaged weights for good."""
        import torch

        if self.mean:
            torch._foreach_copy_(self._weights, self.mean)


def mixup_pair(rows: int, alpha: float, rng: np.random.Generator) -> Pair:
    """Which row of a batch each row is mixed with, and the share that it keeps of itself, from Beta(alpha, alpha).

    Args:
        alpha: above 0.
    """
    return rng.permutation(rows), float(rng.beta(alpha, alpha))


def mixup_loss(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], logits: torch.Tensor, labels: torch.Tensor, pair: Pair
) -> torch.Tensor:
    """The loss of a batch whose last hidden states are mixed in pairs, against both rows' labels.

    What is mixed is each text's vector before the last linear layer. That layer maps a mixture to the same mixture of
    logits, so mixing the logits is the same thing, whatever the architecture and however long the two texts are.

    Args:
        loss: mean loss of logits [batch, labels] and labels [batch] or [batch, labels].

    Source: Guo, Mao & Zhang (2019), Augmenting Data with Mixup for Sentence Classification; Verma et al. (2019),
    Manifold Mixup.
    """
    import torch

    order, share = pair
    other = torch.from_numpy(order).to(logits.device, non_blocking=True)
    mixed = torch.lerp(logits[other], logits, share)
    return share * loss(mixed, labels) + (1 - share) * loss(mixed, labels[other])
