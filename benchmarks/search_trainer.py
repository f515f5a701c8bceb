"""Rivals made of transformers' Trainer: a recommended grid, random search, and its own search with Optuna.

    python -m benchmarks.search_trainer ORDER.json

All train in float32 with dynamic padding and linear decay, as its documentation shows, and ship the trained model that
validation liked best, at the end of its schedule. A training that the time limit interrupts is stopped, scored, and
competes like the others.

grid     batches of 16, 4 epochs, learning rates 5e-5, 1e-4 and 3e-4, those recommended for compact BERTs, with 2 seeds
         each, one seed of all before the next; the best mean over the seeds that were had. Source: Turc et al.,
         "Well-Read Students Learn Better" (2019), and the recommendation published with its models.
random   learning rate, epochs, batch size, warm-up and weight decay, drawn independently.
trainer  `Trainer.hyperparameter_search(backend="optuna")` over its documented space, learning rates moved to where
         small models learn, with Optuna's own sampler and pruner. The documentation trains the winner again; here its
         weights are kept, which leaves that time to the search.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.search_rivals import LEARNING_RATES, MAX_LENGTH, Data, Order, Tally, read_data, stop_at, write_outcome

if TYPE_CHECKING:
    from transformers import TrainerCallback

RESERVE = 0.03  # of the limit, for scoring and saving
GRID_LEARNING_RATES, GRID_SEEDS = (5e-5, 1e-4, 3e-4), (0, 1)
GRID_FIXED = {"num_train_epochs": 4, "per_device_train_batch_size": 16}
FEW_ROWS = 500  # below them more epochs are fair: steps are what small data lacks


@dataclass(frozen=True)
class Setup:
    """What every training of a rival needs."""

    order: Order
    data: Data
    tokenizer: Any
    train: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    tally: Tally

    @property
    def deadline(self) -> float:
        return self.order.deadline(RESERVE)

    @property
    def time_left(self) -> bool:
        return not self.tally.tried or time.monotonic() < self.deadline

    @property
    def epochs(self) -> tuple[int, int]:
        """Fewest and most that are searched."""
        return (3, 20) if len(self.train) < FEW_ROWS else (1, 5)


def main() -> None:
    order = Order(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    compete(order)


def compete(order: Order) -> None:
    """Search, and leave the best model in the order's output folder."""
    import transformers

    transformers.logging.set_verbosity_error()
    setup = _setup(order)
    value, params, weights = RIVALS[order.rival](setup)
    model = _model(setup)
    model.load_state_dict(weights)
    model.save_pretrained(order.output)
    setup.tokenizer.save_pretrained(order.output)
    write_outcome(order, setup.tally, value, params, "torch", "transformers", "optuna")


def _grid(setup: Setup) -> tuple[float, Mapping[str, Any], Any]:
    values: dict[float, list[float]] = {}
    models: dict[float, tuple[float, Any]] = {}
    for seed in GRID_SEEDS:
        for rate in GRID_LEARNING_RATES:
            if not setup.time_left:
                break
            params = {"learning_rate": rate, **GRID_FIXED, "seed": 100 * setup.order.seed + seed}
            value, weights = _train(setup, params)
            values.setdefault(rate, []).append(value)
            models[rate] = max(models.get(rate, (-1.0, None)), (value, weights), key=lambda pair: pair[0])
    best = max(values, key=lambda rate: mean(values[rate]))
    return mean(values[best]), {"learning_rate": best, **GRID_FIXED}, models[best][1]


def _random(setup: Setup) -> tuple[float, Mapping[str, Any], Any]:
    draws = _draws(np.random.default_rng(setup.order.seed), setup.epochs)
    while setup.time_left:
        _train(setup, next(draws))
    return setup.tally.best["value"], setup.tally.best["params"], setup.tally.kept


def _draws(rng: np.random.Generator, epochs: tuple[int, int]) -> Iterator[dict[str, Any]]:
    while True:
        yield {
            "learning_rate": float(np.exp(rng.uniform(*np.log(LEARNING_RATES)))),
            "num_train_epochs": int(rng.integers(epochs[0], epochs[1] + 1)),
            "per_device_train_batch_size": int(rng.choice([8, 16, 32])),
            "warmup_steps": float(rng.uniform(0, 0.2)),  # below 1 it is a share
            "weight_decay": float(rng.uniform(0, 0.1)),
            "seed": int(rng.integers(2**31)),
        }


def _optuna(setup: Setup) -> tuple[float, Mapping[str, Any], Any]:
    import optuna

    def space(trial: optuna.Trial) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", *LEARNING_RATES, log=True),
            "num_train_epochs": trial.suggest_int("num_train_epochs", *setup.epochs),
            "seed": trial.suggest_int("seed", 1, 40),
            "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", [4, 8, 16, 32, 64]),
        }

    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(setup, folder, {"seed": setup.order.seed, "eval_strategy": "epoch"})
        trainer.add_callback(keep_finished(setup.tally))
        trainer.hyperparameter_search(
            hp_space=space,
            compute_objective=lambda metrics: metrics["eval_accuracy"],
            n_trials=10_000,
            direction="maximize",
            backend="optuna",
            timeout=max(0.1, setup.deadline - time.monotonic()),
            sampler=optuna.samplers.TPESampler(seed=setup.order.seed),
        )
    return setup.tally.best["value"], setup.tally.best["params"], setup.tally.kept


def keep_finished(tally: Tally) -> TrainerCallback:
    """Counts a trial by the evaluation at its end, and keeps the weights of the best."""
    from transformers import TrainerCallback

    class KeepFinished(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if control.should_training_stop:
                params = state.trial_params or {}
                tally.add(given["metrics"]["eval_accuracy"], params, lambda: _weights(given["model"]))

    return KeepFinished()


def _train(setup: Setup, params: Mapping[str, Any]) -> tuple[float, Any]:
    """Validation accuracy and weights at the end of one training."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(setup, folder, params)
        trainer.train()
        value, weights = float(trainer.evaluate()["eval_accuracy"]), _weights(trainer.model)
    setup.tally.add(value, params, lambda: weights)
    return value, weights


def _trainer(setup: Setup, folder: str, params: Mapping[str, Any]) -> Any:
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=folder,
        per_device_eval_batch_size=64,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,  # it would warn where there is no GPU
        **params,
    )
    return Trainer(
        model_init=lambda: _model(setup),
        args=arguments,
        train_dataset=setup.train,
        eval_dataset=setup.validation,
        data_collator=DataCollatorWithPadding(setup.tokenizer),
        compute_metrics=lambda scored: {"accuracy": float((scored[0].argmax(-1) == scored[1]).mean())},
        callbacks=[stop_at(setup.deadline)],
    )


def _setup(order: Order) -> Setup:
    from transformers import AutoTokenizer

    data, tokenizer = read_data(order), AutoTokenizer.from_pretrained(order.model)

    def encoded(texts: list[str], labels: list[int]) -> list[dict[str, Any]]:
        ids = tokenizer(texts, truncation=True, max_length=min(MAX_LENGTH, tokenizer.model_max_length))["input_ids"]
        return [{"input_ids": row, "label": label} for row, label in zip(ids, labels, strict=True)]

    train = encoded(data.train_texts, data.train_labels)
    validation = encoded(data.validation_texts, data.validation_labels)
    return Setup(order, data, tokenizer, train, validation, Tally(order.began))


def _model(setup: Setup) -> Any:
    from transformers import AutoModelForSequenceClassification

    names = dict(enumerate(setup.data.names))
    numbers = {name: number for number, name in names.items()}
    return AutoModelForSequenceClassification.from_pretrained(setup.order.model, id2label=names, label2id=numbers)


def _weights(model: Any) -> dict[str, Any]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


RIVALS = {"grid": _grid, "random": _random, "trainer": _optuna}

if __name__ == "__main__":
    main()
