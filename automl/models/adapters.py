"""Parameter-efficient techniques: small trained parts in a frozen encoder, beside the head and what pools for it.

The model keeps its class, its layers and their names: what is attached goes into it in place, and LoRA and IA3 are
folded into the weights at the end, so that the result is a plain transformers model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automl.errors import ModelError
from automl.models import virtual_tokens
from automl.models.layers import encoder_layers, parameter_groups
from automl.params import PEFT_TECHNIQUES, Params

if TYPE_CHECKING:
    import torch
    from torch import nn


def attach(model: Any, params: Params, text_start: int = 0) -> Any:
    """Make `model` train the technique's parameters and what stands above its layers, and nothing else. In place.

    LoRA, IA3 and BitFit leave out the first `frozen_layers` layers, which stay a constant function of the text. Virtual
    tokens are read by every layer. New values are drawn from torch's global generator.

    Args:
        model: a transformers model as it was loaded; its vocabulary may be trimmed.
        text_start: tokens that the tokenizer puts before a text, see `virtual_tokens.text_start`; for prompt_tuning.

    Returns:
        The same model: `model(**batch).logits`.

    Raises:
        ModelError: this architecture has nothing that the technique could train.
    """
    above = parameter_groups(model)[-1]
    model.requires_grad_(False)
    blocks = list(encoder_layers(model))[params.frozen_layers :]
    match params.technique:
        case "lora" | "ia3" if blocks:
            _inject(model, blocks, params)
        case "bitfit" if blocks:
            _train_biases(model, blocks)
        case "prompt_tuning":
            virtual_tokens.attach_prompt(model, params.num_virtual_tokens, text_start)
        case "prefix_tuning":
            virtual_tokens.attach_prefix(model, params.num_virtual_tokens)
        case technique if technique not in PEFT_TECHNIQUES:
            raise ModelError(f"technique {technique!r} attaches nothing; those that do: {', '.join(PEFT_TECHNIQUES)}")
    for parameter in above:
        parameter.requires_grad_(True)
    return model.train(model.training)  # new modules begin in training mode, whatever the model is in


def trained_tensors(model: Any) -> dict[str, torch.Tensor]:
    """A copy of every parameter that is trained, by name, on the CPU: what a checkpoint has to hold."""
    return {
        name: parameter.detach().cpu().contiguous().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def merge(model: Any) -> Any:
    """Fold LoRA or IA3 into the weights, in place: the same logits, no trace of peft. Other models stay as they are."""
    if not hasattr(model, "peft_config"):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            model.set_submodule(name, module.get_base_layer())
    del model.peft_config
    return model


def _inject(model: Any, blocks: list[nn.Module], params: Params) -> None:
    """Replace linear layers of the blocks by peft's.

    Source: Hu et al. (2022), LoRA: Low-Rank Adaptation of Large Language Models; in every linear layer, as in Dettmers
    et al. (2023), QLoRA. Liu et al. (2022), Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than
    In-Context Learning, for IA3.
    """
    from peft import IA3Config, LoraConfig, PeftConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    names = {module: name for name, module in model.named_modules()}
    linear = [_linear_layers(block) for block in blocks]
    if not all(linear):
        raise ModelError(
            f"{type(model).__name__} has no linear layers inside its encoder layers for {params.technique}: "
            "use technique fine_tuning, features or bitfit"
        )
    transposed = isinstance(linear[0][0], Conv1D)
    config: PeftConfig
    if params.technique == "lora":
        config = LoraConfig(
            r=params.lora_r,
            lora_alpha=params.lora_alpha_ratio * params.lora_r,  # type: ignore[arg-type]  # any number will do
            lora_dropout=params.lora_dropout,
            target_modules=[names[module] for layers in linear for module in layers],
            fan_in_fan_out=transposed,
        )
    else:
        config = IA3Config(
            target_modules=[names[module] for layers in linear for module in _keys_and_values(layers) + layers[-1:]],
            feedforward_modules=[names[layers[-1]] for layers in linear],
            fan_in_fan_out=transposed,
        )
    inject_adapter_in_model(config, model)


def _linear_layers(block: nn.Module) -> list[nn.Module]:
    """In the order of computation, as all of transformers registers them: attention first, feed-forward last."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return [module for module in block.modules() if isinstance(module, nn.Linear | Conv1D)]


def _keys_and_values(layers: list[nn.Module]) -> list[nn.Module]:
    """Of a block's linear layers the one that makes query, key and value together, or those of key and value."""
    one, other = layers[0].weight.shape  # type: ignore[misc]  # [out, in], or [in, out] in a Conv1D
    if max(one, other) == 3 * min(one, other):
        return layers[:1]
    return layers[1:3] if len(layers) >= 6 else []  # fewer: attention without linear layers (XLNet)


def _train_biases(model: Any, blocks: list[nn.Module]) -> None:
    """Source: Ben Zaken et al. (2022), BitFit: Simple Parameter-efficient Fine-tuning for Masked Language-models."""
    biases = [
        parameter for block in blocks for name, parameter in block.named_parameters() if name.endswith("bias")
    ]  # also XLNet's r_w_bias and the like
    if not biases:
        raise ModelError(f"{type(model).__name__} has no biases for bitfit to train: use technique lora or ia3")
    for bias in biases:
        bias.requires_grad_(True)
