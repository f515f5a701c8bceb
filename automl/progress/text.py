"""Numbers, durations and params as people read them in a narrow column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_SHORT = {
    "learning_rate": "lr",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch",
    "warmup_ratio": "warmup",
    "weight_decay": "decay",
    "frozen_layers": "frozen",
    "augmentation": "aug",
}


def number(value: float) -> str:
    """At most three digits: 0.25, 12, 2.1e-4."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 0.01 <= abs(value) < 1000:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def score(value: float | None) -> str:
    """A metric's value to four decimals."""
    return "-" if value is None else f"{value:.4f}"


def duration(seconds: float) -> str:
    """3.2s, 34s, 12m05s, 2h03m or 3d04h."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d{hours % 24:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def params(values: Mapping[str, Any]) -> str:
    """`lr=2.1e-4 epochs=6 ...`, in the order given."""
    return " ".join(
        f"{_SHORT.get(name, name)}={number(value) if isinstance(value, float) else one_line(str(value))}"
        for name, value in values.items()
    )


def one_line(text: str) -> str:
    """The text without line breaks, tabs, or control characters that a terminal would obey."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
