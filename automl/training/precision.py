"""Where computing in bfloat16 pays, and a model made ready for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def best_precision(device: str) -> str:
    """ "bfloat16" where the processor multiplies it natively, else "float32". Master weights are float32 always."""
    import torch

    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if native else "float32"


def by_columns(model: Any) -> None:
    """Lay each linear layer's weight out as its gradient comes, in place: no step need transpose either."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = module.weight.data.t().contiguous().t()


@contextmanager
def computing_in(model: Any, precision: str) -> Iterator[None]:
    """Within the block the model has its parameters in `precision`, and what makes that fast on its device.

    Afterwards the parameters are the float32 ones of before. Buffers stay in float32: positions are computed from them.
    """
    import torch

    from automl.models.attention import use_short_attention
    from automl.models.dropout import use_fast_dropout

    if precision == "float32":
        yield
        return
    own = {parameter: parameter.data for parameter in model.parameters()}
    if next(iter(own)).device.type == "cpu":
        use_fast_dropout(model)
        use_short_attention(model)
    try:
        for parameter, data in own.items():
            parameter.data = data.to(torch.bfloat16)
        yield
    finally:
        for parameter, data in own.items():
            parameter.data = data


def keep_freed_memory() -> None:
    """Tell the C library to keep the memory that tensors give back, for the next ones: getting it anew costs more.

    A step of a small model frees and asks for hundreds of megabytes. Does nothing where there is no glibc.
    """
    import ctypes

    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for option in (trim_threshold, mmap_threshold):
        mallopt(option, 2**31 - 1)
