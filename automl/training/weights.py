"""The trained weights: kept and optimised in float32, in a few flat tensors; the model computes with copies of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class MasterWeights:
    """float32 masters of a model's trained parameters, one flat tensor for each group of them.

    With few long tensors the optimiser runs at the speed of the memory. The model's own parameters may be of another
    type (bfloat16) and layout: gradients are collected from them, and values handed out to them, after every step.

    Args:
        groups: parameters of the model; each group shares what the optimiser does with it. Their present values count.
    """

    def __init__(self, groups: Sequence[Sequence[torch.nn.Parameter]]) -> None:

        self._groups = [_Group(group) for group in groups]
        self.flats = [group.flat for group in self._groups]

    def flat_like(self, values: Callable[[torch.nn.Parameter], torch.Tensor]) -> list[torch.Tensor]:
        """Other values for the same parameters, flat, one tensor a group."""
        import torch

        flats = [torch.empty_like(flat.detach()) for flat in self.flats]
        for flat, group in zip(flats, self._groups, strict=True):
            torch._foreach_copy_(_views(flat, group.parameters), [values(one) for one in group.parameters])
        return flats

    def collect(self) -> None:
        """Move the gradients from the model's parameters to the masters. A group without any gets none."""
        import torch

        for group in self._groups:
            pairs = [
                (view, parameter.grad)
                for view, parameter in zip(group.gradients, group.parameters, strict=True)
                if parameter.grad is not None
            ]
            if 0 < len(pairs) < len(group.parameters):
                group.gradient.zero_()
            group.flat.grad = group.gradient if pairs else None
            if pairs:
                torch._foreach_copy_([view for view, _ in pairs], [gradient for _, gradient in pairs])
            for parameter in group.parameters:
                parameter.grad = None

    def hand_out(self) -> None:
        """Give the model's parameters the masters' values."""
        import torch

        for group in self._groups:
            torch._foreach_copy_([parameter.detach() for parameter in group.parameters], group.values)

    def snapshot(self) -> list[torch.Tensor]:
        """A copy of the masters."""
        return [flat.detach().clone() for flat in self.flats]

    def restore(self, snapshot: Sequence[torch.Tensor]) -> None:
        """Put a snapshot back, into the model too."""
        import torch

        torch._foreach_copy_([flat.detach() for flat in self.flats], list(snapshot))
        self.hand_out()


class _Group:
    """One group: its flat master, the gradient of that, and views into both that are shaped as the parameters."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        import torch

        self.parameters = list(parameters)
        first = self.parameters[0]
        dtype = torch.promote_types(first.dtype, torch.float32)
        size = sum(parameter.numel() for parameter in self.parameters)
        self.flat = torch.nn.Parameter(torch.empty(size, dtype=dtype, device=first.device))
        self.gradient = torch.zeros_like(self.flat.detach())
        self.values = _views(self.flat.detach(), self.parameters)
        self.gradients = _views(self.gradient, self.parameters)
        torch._foreach_copy_(self.values, [parameter.detach() for parameter in self.parameters])


def _views(flat: torch.Tensor, group: Sequence[torch.nn.Parameter]) -> list[torch.Tensor]:
    """Parts of the flat tensor that are shaped, and lie in memory, like the parameters."""
    views, start = [], 0
    for parameter in group:
        views.append(flat[start : start + parameter.numel()].as_strided(parameter.shape, parameter.stride(), start))
        start += parameter.numel()
    return views
