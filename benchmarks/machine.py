"""Which machine a figure was measured on."""

from __future__ import annotations

import os
import platform


def processor() -> str:
    """Its name and how many cores may be used."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        file.seek(0)
        matrix = " with AMX" if " amx_bf16" in file.read() else ""
    return f"{names[0] if names else platform.machine()}{matrix}, {len(os.sched_getaffinity(0))} cores"
