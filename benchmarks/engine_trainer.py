"""The other competitor: transformers' own Trainer with dynamic padding, as its documentation shows it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from automl.models import checkpoint
from automl.models.layers import freeze
from automl.tasks.kinds import kind_of
from benchmarks.engine_crew import crew
from benchmarks.engine_setup import BATCH_SIZE, KIND, Task

WARM_UP_STEPS = 4


@dataclass(frozen=True)
class Run:
    """What the Trainer trains; below 0 `steps` leaves it to the epochs."""

    frozen_layers: int
    epochs: int
    steps: int = -1


def trainer_speed(task: Task, frozen_layers: int, epochs: int) -> float:
    """Training examples per second of a fresh, warm process that has all cores and its own default threads."""
    with crew(make_trainer, task, min(1, task.scale.processes), threads=None) as train:
        list(train([Run(frozen_layers, 1, WARM_UP_STEPS)]))
        (speed,) = train([Run(frozen_layers, epochs)])
    return float(speed)


def make_trainer(task: Task) -> Callable[[Run], float]:
    """Trains in float32 without evaluating or saving. Tokenising and loading are done before the clock starts."""
    texts = task.tokenizer(list(task.train.inputs), truncation=True, max_length=task.max_length)["input_ids"]
    rows = [{"input_ids": ids, "label": label} for ids, label in zip(texts, task.train.labels.tolist(), strict=True)]
    return lambda run: _train(task, rows, run)


def _train(task: Task, rows: list[dict[str, Any]], run: Run) -> float:
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

    model, _ = checkpoint.load(task.model, kind_of(KIND).auto_class, task.splits.label_names)
    freeze(model, run.frozen_layers)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH_SIZE,
            num_train_epochs=run.epochs,
            max_steps=run.steps,
            learning_rate=2e-4,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,  # it would warn where there is no GPU
        )
        collator = DataCollatorWithPadding(task.tokenizer)
        trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator)
        trainer.remove_callback(PrinterCallback)
        output = trainer.train()
    # Its own figure starts after the Trainer's set-up, which is kinder to it than a clock around `train()`.
    return float(output.metrics["train_samples_per_second"])
