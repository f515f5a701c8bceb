"""What rival searches do alike: validation rows of their own, an end in time, the best so far, what they leave behind.

Imported by SetFit's process too, whose environment may lack what this package needs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import TrainerCallback

VALIDATION_SHARE = 0.2
LEARNING_RATES = (1e-5, 5e-4)  # of every rival that searches: below them small models stand still
MAX_LENGTH = 128  # tokens
OUTCOME = "outcome.json"


@dataclass(frozen=True)
class Order:
    """What a rival is told: there is nothing about test rows.

    Args:
        rival: its name.
        train: a file of rows with "text" and "label".
        model: the folder of the pretrained encoder.
        output: the folder to leave a model and an outcome in.
        limit: seconds for everything.
        seed: of its split and its search.
        began: when the seconds began, on the clock of `time.monotonic`.
    """

    rival: str
    train: str
    model: str
    output: str
    limit: float
    seed: int
    began: float

    def deadline(self, reserve: float) -> float:
        """When training has to stop so that scoring and saving still fit: `reserve` is a share of the limit."""
        return self.began + self.limit * (1 - reserve) - 1


@dataclass(frozen=True)
class Data:
    """Texts and label numbers of both splits."""

    train_texts: list[str]
    validation_texts: list[str]
    train_labels: list[int]
    validation_labels: list[int]
    names: list[str]


@dataclass
class Tally:
    """What was tried, and the best of it so far."""

    began: float
    tried: list[dict[str, Any]] = field(default_factory=list)
    curve: list[tuple[float, float]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    kept: Any = None

    def add(self, value: float, params: Mapping[str, Any], keep: Callable[[], Any]) -> None:
        """Count a finished training; `keep` gives what is worth keeping of it, and is called for a new best only."""
        run = {"value": value, "params": dict(params)}
        self.tried.append(run)
        if not self.best or value > self.best["value"]:
            self.best, self.kept = run, keep()
            self.curve.append((round(time.monotonic() - self.began, 1), value))


def read_data(order: Order) -> Data:
    """80 % of the rows to learn from and 20 % to choose by, in proportion to the labels."""
    from sklearn.model_selection import train_test_split

    with Path(order.train).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    names = sorted({row["label"] for row in rows})
    labels = [names.index(row["label"]) for row in rows]
    texts = [row["text"] for row in rows]
    size = max(VALIDATION_SHARE, len(names) / len(rows))  # a row of each label at least
    train, validation = train_test_split(range(len(rows)), test_size=size, stratify=labels, random_state=order.seed)
    return Data(
        [texts[row] for row in train],
        [texts[row] for row in validation],
        [labels[row] for row in train],
        [labels[row] for row in validation],
        names,
    )


def stop_at(deadline: float) -> TrainerCallback:
    """Ends a running training in time; it is then scored like any other."""
    from transformers import TrainerCallback

    class StopAt(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if time.monotonic() >= deadline:
                control.should_training_stop = True

    return StopAt()


def write_outcome(order: Order, tally: Tally, value: float, params: Mapping[str, Any], *packages: str) -> None:
    """Beside the model: the validation score that chose it, and how it was found."""
    outcome = {
        "validation": value,
        "chosen": dict(params),
        "tried": len(tally.tried),
        "curve": tally.curve,
        "stopped": "time limit" if time.monotonic() >= order.deadline(0.1) else "finished",
        "versions": {name: _version(name) for name in packages},
    }
    (Path(order.output) / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
