"""What frozen layers put out, recorded once and replayed: the model then computes only what lies above them.

With the embeddings and the first k layers frozen (`layers.freeze`: no gradient, no dropout), their output for a text
is a constant. It does not depend on the batch that the text is in, nor on how far that is padded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl.models.layers import anatomy, encoder_layers, evaluating

if TYPE_CHECKING:
    import torch
    from torch import nn


class _Reached(Exception):
    """The state is known: what lies above need not run."""


def record(model: Any, layers: int, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What the layer above the first `layers` reads, [batch, seq, width], with dropout off and without gradients.

    Nothing above runs, but for the base model's own top where `layers` is all of them. Values at padding mean nothing.
    Under autocast the state has the type that the model has there. Not for a model that has a `Replay`, nor for
    training when recorded in torch's inference mode.

    Args:
        layers: 1 to the model's depth; more counts as its depth.
        batch: features as the model takes them, each [batch, seq].
    """
    stack = encoder_layers(model)
    sequence_first = anatomy(model).sequence_first  # runs the model, if this is the first look: before there is a hook
    states: list[torch.Tensor] = []

    def reached(_: nn.Module, args: tuple[Any, ...]) -> None:
        states.append(args[0])
        raise _Reached

    def ended(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:  # the last call counts: ALBERT makes several
        states[:] = [output[0] if isinstance(output, tuple) else output]

    if layers < len(stack):
        hook = stack[layers].register_forward_pre_hook(reached)
    else:
        hook = stack[-1].register_forward_hook(ended)
    try:
        with evaluating(model):
            model.base_model(**{name: values for name, values in batch.items() if name != "labels"})
    except _Reached:
        pass
    finally:
        hook.remove()
    return states[0].transpose(0, 1) if sequence_first else states[0]


class Replay:
    """A model that starts from `hidden` in place of its first layers. Set `hidden` before each forward pass.

    The passed-over modules stay where they are, with their parameters and names; only their `forward` is another.
    """

    hidden: torch.Tensor  # [batch, seq, width], what `record` gave for the same rows; anything at padding

    def __init__(self, model: Any, layers: int) -> None:
        stack, base = encoder_layers(model), model.base_model
        self._parts = anatomy(model)
        self._dtype = base.get_input_embeddings().weight.dtype
        self._due = False  # the next layer to run is the first one above
        self._before: list[tuple[nn.Module, Any]] = []
        for block in stack[:layers]:
            self._replace(block, self._pass_over)
        self._width = self._parts.entrance_width or 0
        if self._width:
            self._replace(base.get_submodule(self._parts.entrance), self._embed)
        self._hook = stack[layers].register_forward_pre_hook(self._begin) if layers < len(stack) else None

    def remove(self) -> None:
        """Make the model run all of its layers again."""
        for module, forward in reversed(self._before):
            del module.forward
            if forward is not None:
                module.forward = forward
        self._before.clear()
        if self._hook is not None:
            self._hook.remove()

    def _replace(self, module: nn.Module, forward: Any) -> None:
        self._before.append((module, vars(module).get("forward")))
        module.forward = forward

    def _embed(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Zeros in the shape of the embeddings, from which models take their masks' and positions' sizes."""
        import torch

        ids = next(value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
        zero = torch.zeros((), dtype=self._dtype, device=self.hidden.device)
        return zero.expand(*ids.shape[:2], self._width)

    def _pass_over(self, *args: Any, **kwargs: Any) -> Any:
        self._due = True
        state = self._state()
        return state if self._parts.outputs is None else (state, *[None] * (self._parts.outputs - 1))

    def _begin(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Hand over the state once more: a model may change what one layer gave before the next one reads it."""
        if not self._due:  # a later call of a layer that is called several times
            return None
        self._due = False
        return self._state(), *args[1:]

    def _state(self) -> torch.Tensor:
        return self.hidden.transpose(0, 1) if self._parts.sequence_first else self.hidden


def install(model: Any, layers: int) -> Replay:
    """Make the model start from recorded states; `Replay.remove` undoes it.

    Logits, loss and the gradients of what is above are those of the whole model whose first `layers` layers are frozen.

    Args:
        layers: 1 to the model's depth; more counts as its depth. Those that `freeze` froze.
    """
    return Replay(model, layers)


def is_exact(model: Any, layers: int, batch: Mapping[str, torch.Tensor]) -> bool:
    """Whether a replay gives the logits of the whole model, in the mode that it is in. To be asked once a model.

    It does for every model that lets `freeze` make its first layers' output a constant; some drop units out in between
    modules, or pad their input on their own.

    Args:
        layers: those that `freeze` froze.
        batch: any rows, as the model takes them.
    """
    import torch

    def logits() -> torch.Tensor:
        torch.manual_seed(0)
        with torch.no_grad():
            return model(**batch).logits.float()  # type: ignore[no-any-return]

    with torch.random.fork_rng():
        expected, state = logits(), record(model, layers, batch)
        replay = install(model, layers)
        try:
            replay.hidden = state
            return torch.allclose(logits(), expected, rtol=1e-3, atol=1e-3)
        finally:
            replay.remove()
