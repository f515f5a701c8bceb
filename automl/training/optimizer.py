"""AdamW over flat float32 masters: how fast each part of a model moves, and what each part decays towards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from automl.models.layers import parameter_groups
from automl.params import PEFT_TECHNIQUES, Params
from automl.training.weights import MasterWeights

if TYPE_CHECKING:
    import torch
    from torch import nn

LONG_AGO = 1e6  # steps after which the bias corrections are 1 to the last digit: 1 - 0.999**1e6


@dataclass
class Group:
    """Parameters that the optimiser treats alike."""

    factor: float  # on the learning rate
    decay: float  # towards 0
    pretrained_decay: float  # towards the pretrained values
    parameters: list[nn.Parameter] = field(default_factory=list)


class Optimizer:
    """Moves those parameters of a model, in float32, that require a gradient when it is made.

    Weight matrices decay; biases, norms and embeddings do not. With `pretrained_decay`, whatever has a pretrained value
    decays towards that, and only the other matrices decay towards 0.

    Args:
        pretrained: pretrained values by parameter name, without those that start from new random weights; is only read.

    Source: Howard & Ruder (2018), Universal Language Model Fine-tuning, for step sizes by layer; Li, Grandvalet &
    Davoine (2018), Explicit Inductive Bias for Transfer Learning (L2-SP), for `pretrained_decay`, here decoupled.
    """

    def __init__(self, model: Any, params: Params, pretrained: Mapping[str, torch.Tensor]) -> None:
        import torch

        held = pretrained if params.pretrained_decay else {}
        groups = parameter_plan(model, params, held)
        self.weights = MasterWeights([group.parameters for group in groups])
        self._max_norm = params.max_grad_norm
        self._rates = [group.factor * params.learning_rate for group in groups]
        self._adam = torch.optim.AdamW(
            [
                {"params": [flat], "weight_decay": group.decay}
                for flat, group in zip(self.weights.flats, groups, strict=True)
            ],
            lr=params.learning_rate,
            fused=True,
        )
        names = {parameter: name for name, parameter in model.named_parameters()}
        anchors = (
            self.weights.flat_like(lambda parameter: held.get(names[parameter], parameter.detach())) if held else []
        )
        self._anchors = [
            (flat.detach(), anchor, rate, group.pretrained_decay)
            for flat, anchor, rate, group in zip(self.weights.flats, anchors, self._rates, groups, strict=bool(held))
            if group.pretrained_decay
        ]
        if params.optim == "adamw_uncorrected":
            _leave_out_bias_correction(self._adam)

    @property
    def moments(self) -> list[dict[str, torch.Tensor]]:
        """AdamW's memory of each group, to read and to change: steps and running means, {} before the first step."""
        return [self._adam.state[flat] for flat in self.weights.flats]

    def step(self, factor: float) -> None:
        """Move the weights by the gradients that the model's parameters have, and give the model the new ones.

        Args:
            factor: on the learning rate, from `schedules.factor`.
        """
        import torch

        self.weights.collect()
        gradients = [flat.grad for flat in self.weights.flats if flat.grad is not None]
        if self._max_norm and gradients:
            norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one) for one in gradients]))
            # The fused step divides by this while it reads the gradients: no pass of its own, no wait for a GPU.
            setattr(self._adam, "grad_scale", (norm / self._max_norm).clamp(min=1.0))  # noqa: B010  # torch declares none
        for group, rate in zip(self._adam.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self._adam.step()
        with torch.no_grad():
            for flat, anchor, rate, decay in self._anchors:
                flat.lerp_(anchor, rate * factor * decay)
        self.weights.hand_out()


def parameter_plan(model: Any, params: Params, held: Mapping[str, torch.Tensor]) -> list[Group]:
    """The parameters that require a gradient now, in as few groups as their treatment allows.

    Under gradual unfreezing each level of the model has groups of its own: one that is still held has no gradients, and
    its groups are left alone.
    """
    levels = parameter_groups(model)  # from the embeddings up, and last what is above the layers
    place = {parameter: index for index, level in enumerate(levels) for parameter in level}
    factors, matrices = _factors(levels, params), weight_matrices(model)
    groups: dict[tuple[float, float, float, int], Group] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            towards_pretrained = params.pretrained_decay if name in held else 0.0
            decay = params.weight_decay if name in matrices and name not in held else 0.0
            level = place[parameter] if params.gradual_unfreezing else 0
            treatment = (factors[parameter], decay, towards_pretrained)
            groups.setdefault((*treatment, level), Group(*treatment)).parameters.append(parameter)
    return list(groups.values())


def weight_matrices(model: Any) -> dict[str, nn.Parameter]:
    """What the model multiplies with, by name: no bias, norm, scale, embedding or virtual token."""
    from torch import nn

    return {
        f"{prefix}.{name}" if prefix else name: parameter
        for prefix, module in model.named_modules()
        if not isinstance(module, nn.Embedding) and module is not model.base_model  # which itself owns only inputs
        for name, parameter in module.named_parameters(recurse=False)
        # a module's own biases and embeddings may have two axes and more (XLNet)
        if sum(size > 1 for size in parameter.shape) > 1 and not name.endswith(("bias", "embed"))
    }


def _factors(levels: list[list[nn.Parameter]], params: Params) -> dict[nn.Parameter, float]:
    """Share of the learning rate for each parameter: 1 in the top layer, less below it, the head's own above it."""
    *encoder, above = levels
    step = 1.0 if params.technique in PEFT_TECHNIQUES else params.layerwise_lr_decay  # a prompt is no lowest layer
    factors = dict.fromkeys(above, params.head_lr_multiplier)
    for distance, level in enumerate(reversed(encoder)):
        factors |= dict.fromkeys(level, step**distance)
    return factors


def _leave_out_bias_correction(optimizer: torch.optim.AdamW) -> None:
    """Begin with empty averages at a step so late that the corrections have vanished: the first BERT's optimiser.

    Step t is then (1 - beta1**t) / sqrt(1 - beta2**t) times the corrected one: 6.57 at 12, 3.24 at 100, 1.26 at 1000.
    """
    import torch

    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.tensor(LONG_AGO, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
