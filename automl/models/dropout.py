"""Dropout in bfloat16 at a fraction of its usual cost on a processor, where drawing random numbers is most of it."""

from __future__ import annotations

from typing import Any

import torch


class _DropLanes(torch.autograd.Function):
    """Four elements take their chance from one 64-bit random number; masking is a bitwise and."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, share: float) -> torch.Tensor:
        ctx.scale = 1 / (1 - share)
        numbers = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        lanes = numbers.view(torch.int16)[: x.numel()].view(x.shape)
        keep = lanes.ge_(round(share * 2**16) - 2**15).neg_()  # all bits set, or none
        ctx.save_for_backward(keep)
        return _masked(x, keep, ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (keep,) = ctx.saved_tensors
        return _masked(gradient, keep, ctx.scale), None


def _masked(x: torch.Tensor, keep: torch.Tensor, scale: float) -> torch.Tensor:
    return x.contiguous().view(torch.int16).bitwise_and(keep).view(x.dtype).mul_(scale)


def drop(x: torch.Tensor, share: float) -> torch.Tensor:
    """Set each element to 0 with probability `share`, to one part in 2**16, and scale the others up for it.

    Draws from torch's global generator. Anything but bfloat16 on a processor takes torch's own way.

    Args:
        share: in [0, 1).
    """
    if x.dtype is torch.bfloat16 and x.device.type == "cpu":
        return _DropLanes.apply(x, share) if share else x  # type: ignore[no-untyped-call]
    return torch.nn.functional.dropout(x, share)


class FastDropout(torch.nn.Dropout):
    """`nn.Dropout`, by `drop`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Any shape, and the same back."""
        return drop(input, self.p) if self.training else input


def use_fast_dropout(model: torch.nn.Module) -> None:
    """Let every `nn.Dropout` of the model draw by `drop`, in place."""
    for module in model.modules():
        if type(module) is torch.nn.Dropout:
            module.__class__ = FastDropout
