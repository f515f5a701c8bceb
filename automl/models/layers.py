"""Which parameters are embeddings, layers and what stands above them; freeze, group, redraw and drop out by that.

By discovery: a model is run once on a few tokens, and what it calls before its last layer has ended feeds the layers.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from automl.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

INITIALIZED = "_is_hf_initialized"  # how transformers marks the tensors that `_init_weights` must leave alone


@dataclass(frozen=True)
class Anatomy:
    """How a base model calls its parts. Modules by their names in it, so that it holds on to no weights."""

    stack: str  # the list of layers
    above: frozenset[str]  # modules that run only after the last layer
    entrance: str  # the largest module that holds the word embeddings and no layer
    entrance_width: int | None  # of its output [batch, seq, width]; None: it puts out something else
    sequence_first: bool  # the layers work on [seq, batch, width]
    outputs: int | None  # the layers return a tuple of so many, the hidden state first; None: the bare tensor


_KNOWN: WeakKeyDictionary[nn.Module, Anatomy] = WeakKeyDictionary()


def encoder_layers(model: Any) -> nn.ModuleList:
    """The list of transformer blocks; where layers share their parameters (ALBERT), the list of those that differ.

    Raises:
        ModelError: there is no such list.
    """
    from torch import nn

    stacks: dict[str, nn.ModuleList] = {}
    for name, module in model.base_model.named_modules():
        alike = isinstance(module, nn.ModuleList) and len({type(block) for block in module}) == 1
        if alike and not any(name.startswith(f"{outer}.") for outer in stacks):  # a list within a layer is no layers
            stacks[name] = module
    if not stacks:
        raise ModelError(f"{type(model).__name__} has no stack of encoder layers: use a BERT-like encoder")
    return max(stacks.values(), key=len)


def anatomy(model: Any) -> Anatomy:
    """How the model calls its parts, seen by running it once on a few tokens. Found once a model.

    Raises:
        ModelError: it does not run on token ids and their mask alone, or not layer by layer.
    """
    base = model.base_model
    if base not in _KNOWN:
        stack = encoder_layers(model)
        try:
            _KNOWN[base] = _look(base, stack)
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # and not: out of memory
            raise ModelError(
                f"{type(model).__name__} does not run its {len(stack)} layers one after the other on token ids and "
                "their mask alone: use a BERT-like encoder"
            ) from error
    return _KNOWN[base]


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Every module in eval mode, and afterwards each in the mode that it was in. No gradients meanwhile."""
    import torch

    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def freeze(model: Any, layers: int) -> None:
    """Keep the embeddings and the first `layers` layers as they are: no gradient, no dropout. 0 freezes nothing.

    To the embeddings belongs all of the base model that reaches the first layer, or that several layers read (tables of
    relative positions): were these trained, the first layers would not put out a constant.

    Call it after `model.train()`, which would switch dropout on again.
    """
    model.requires_grad_(True)
    if layers == 0:
        return
    stack = encoder_layers(model)
    blocks = {id(module) for module in stack.modules()}
    for module in _below(model):
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if all(id(inner) not in blocks for inner in module.modules()):  # not what encloses the layers
            module.training = False
    for block in stack[:layers]:
        block.requires_grad_(False).eval()


def parameter_groups(model: Any) -> list[list[nn.Parameter]]:
    """Every parameter once: [embeddings, layer 1, ..., layer n, all that stands above the layers]."""
    embeddings = [parameter for module in _below(model) for parameter in module.parameters(recurse=False)]
    groups = [embeddings, *(list(block.parameters()) for block in encoder_layers(model))]
    taken = {id(parameter) for group in groups for parameter in group}
    return [*groups, [parameter for parameter in model.parameters() if id(parameter) not in taken]]


def head_parameters(model: Any, new: Collection[str] = ()) -> list[nn.Parameter]:
    """The parameters outside the base model, and those named in `new` (what the checkpoint did not have)."""
    base = {id(parameter) for parameter in model.base_model.parameters()}
    return [parameter for name, parameter in model.named_parameters() if name in new or id(parameter) not in base]


def redraw(model: Any, parameters: Iterable[nn.Parameter]) -> None:
    """New random values for these parameters, in place, drawn as the model draws them; torch's global generator."""
    import torch
    from transformers.initialization import guard_torch_init_functions

    chosen = {id(parameter) for parameter in parameters}
    tensors = [*model.parameters(), *model.buffers()]
    marks = [getattr(tensor, INITIALIZED, False) for tensor in tensors]
    try:
        for tensor in tensors:
            setattr(tensor, INITIALIZED, id(tensor) not in chosen)
        with torch.no_grad(), guard_torch_init_functions():
            for module in reversed(list(model.modules())):  # parts before the whole: some models draw theirs again
                if any(id(parameter) in chosen for parameter in module.parameters()):
                    model._init_weights(module)
    finally:
        for tensor, mark in zip(tensors, marks, strict=True):
            setattr(tensor, INITIALIZED, mark)


def reinitialize(model: Any, layers: int) -> None:
    """New random weights for the last `layers` layers and what the base model has above them (pooler, final norm).

    Source: Zhang et al. (2021), Revisiting Few-sample BERT Fine-tuning.

    Args:
        layers: 0 leaves everything as it is.
    """
    if layers == 0:
        return
    base, names = model.base_model, anatomy(model).above
    top = [*encoder_layers(model)[-layers:], *(base.get_submodule(name) for name in sorted(names))]
    redraw(model, [parameter for module in top for parameter in module.parameters()])


def set_dropout(model: Any, hidden: float | None, attention: float | None) -> None:
    """Give the model the dropout that it would have been built with, had its configuration had these values.

    `model.config` keeps the model's own values; a later call with None returns to them.

    Args:
        hidden: share of hidden units dropped, in [0, 1): embeddings, layers and before the head.
        attention: share of attention weights dropped, in [0, 1); where a model has one value for both (XLNet), it is
            `hidden` that counts.
    """
    import torch
    from transformers.initialization import no_init_weights

    config = copy.deepcopy(model.config)
    for name, own in model.config.to_dict().items():
        value = attention if "att" in name else hidden
        if "drop" in name and "layer" not in name and type(own) in (int, float) and value is not None:
            setattr(config, name, float(value))
    with torch.device("meta"), no_init_weights():
        twin = dict(type(model)(config).named_modules())
    for name, module in list(model.named_modules()):
        like = twin.get(name, module)
        if isinstance(module, torch.nn.Dropout) != isinstance(like, torch.nn.Dropout):  # some have none where it is 0
            model.set_submodule(name, like.train(module.training))
            continue
        for attribute, value in vars(like).items():
            if isinstance(value, int | float) and (attribute == "p" or "drop" in attribute):
                setattr(module, attribute, value)


def _look(base: Any, stack: nn.ModuleList) -> Anatomy:
    import torch

    names = {module: name for name, module in base.named_modules()}
    entrance = _entrance(names[base.get_input_embeddings()], names[stack])
    calls: list[str] = []
    below_ends: list[int] = []
    seen: dict[str, Any] = {}

    def called(name: str, *_: Any) -> None:
        calls.append(name)

    def layer_called(_: Any, args: tuple[Any, ...], output: Any) -> None:
        seen["input"], seen["output"] = args[0], output

    def entered(_: Any, args: tuple[Any, ...], output: Any) -> None:
        seen["entrance"] = output

    hooks = [module.register_forward_pre_hook(partial(called, name)) for module, name in names.items()]
    hooks.append(stack[-1].register_forward_hook(lambda *_: below_ends.append(len(calls))))
    hooks.append(stack[0].register_forward_hook(layer_called))
    hooks.append(base.get_submodule(entrance).register_forward_hook(entered))
    ids = torch.zeros(2, 3, dtype=torch.long, device=base.device)
    try:
        with evaluating(base):
            base(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        for hook in hooks:
            hook.remove()
    above = {inner for name in calls[below_ends[-1] :] for inner in _inside(base, name)} - set(calls[: below_ends[-1]])
    embedded, output = seen["entrance"], seen["output"]
    plain = isinstance(embedded, torch.Tensor) and embedded.ndim == 3
    return Anatomy(
        stack=names[stack],
        above=frozenset(above),
        entrance=entrance,
        entrance_width=embedded.shape[-1] if plain else None,
        sequence_first=tuple(seen["input"].shape[:2]) == (3, 2),
        outputs=len(output) if isinstance(output, tuple) else None,
    )


def _entrance(table: str, stack: str) -> str:
    """Name of the outermost module that encloses the table and not the stack."""
    parts = table.split(".")
    outward = (".".join(parts[: end + 1]) for end in range(len(parts)))
    return next(name for name in outward if not stack.startswith(f"{name}."))


def _inside(base: Any, name: str) -> list[str]:
    return [f"{name}.{inner}".rstrip(".") for inner, _ in base.get_submodule(name).named_modules()]


def _below(model: Any) -> list[nn.Module]:
    """Modules of the base model outside the layers that run before them, or whose weights others read."""
    parts = anatomy(model)
    return [
        module
        for name, module in model.base_model.named_modules()
        if name not in parts.above and name != parts.stack and not name.startswith(f"{parts.stack}.")
    ]
