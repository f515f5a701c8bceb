"""Where computing in bfloat16 pays."""

from __future__ import annotations


def best_precision(device: str) -> str:
    """ "bfloat16" where the processor multiplies it natively, else "float32". Master weights are float32 always."""
    import torch

    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if native else "float32"
