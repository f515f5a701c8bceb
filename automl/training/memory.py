"""What a worker takes of memory, and what it does when that runs out."""

from __future__ import annotations

import gc
import resource


def peak_memory(device: str) -> dict[str, int]:
    """Peak so far, in MB: of this process, and of its part of the GPU (0 where it has none)."""
    import torch

    return {
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "peak_gpu_memory_mb": torch.cuda.max_memory_allocated() // 2**20 if device.startswith("cuda") else 0,
    }


def free_memory(device: str) -> None:
    """Give back what a failed attempt held."""
    import torch

    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that there was too little, in main memory or on the GPU."""
    import torch

    told = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return told or "DefaultCPUAllocator" in str(error)  # on a processor torch says it in words only
