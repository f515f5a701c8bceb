"""The rival SetFit: its own trainer and its own search with Optuna, mean pooling over the same encoder.

    python -m benchmarks.search_setfit ORDER.json

The space is the one that its documentation shows, with three changes. Learning rates lie where this body learns. Pairs
are counted by `num_iterations` for one epoch, so many that about five trainings fit into the limit: all pairs of 800
rows would take hours. A solver that refuses more than two labels is not offered where there are more. A training that
the limit interrupts is stopped, given its head, scored, and competes like the others. The best one's weights are kept
rather than trained again with the same seed.

setfit         as it comes. Its search (1.2.0) never trains the encoder: a trial's body is given to the trainer, but the
               forward pass stays that of the first body, and the optimizer that of the first trial.
setfit_mended  the same with both put right, which is stronger.

It leaves the encoder as a transformers folder and the head, which is linear, as numbers in `head.json`: nothing is
pickled. Tried with setfit 1.2.0, sentence-transformers 6.2.0, transformers 5.23.0 and optuna 5.0.0.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.search_rivals import LEARNING_RATES, Data, Order, Tally, read_data, stop_at, write_outcome

if TYPE_CHECKING:
    import optuna

MENDED = "setfit_mended"
RESERVE = 0.06  # of the limit, for features, head, scoring and saving
TEXTS_A_SECOND = 40  # in training, roughly: it only sets how many trainings fit
TRAININGS = 5
HEAD = "head.json"


def main() -> None:
    order = Order(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    compete(order)


def compete(order: Order) -> None:
    """Search, and leave the best model in the order's output folder."""
    from optuna.samplers import TPESampler

    data, tally, deadline = read_data(order), Tally(order.began), order.deadline(RESERVE)
    trainer = _trainer(order, data, tally)
    trainer.hyperparameter_search(
        hp_space=_space(len(data.names)),
        n_trials=10_000,
        direction="maximize",
        timeout=max(0.1, deadline - time.monotonic()),
        sampler=TPESampler(seed=order.seed),
    )
    _save(tally.kept, data.names, Path(order.output))
    packages = ("torch", "transformers", "optuna", "setfit", "sentence-transformers", "scikit-learn")
    write_outcome(order, tally, tally.best["value"], tally.best["params"], *packages)


def _space(labels: int) -> Callable[[optuna.Trial], dict[str, Any]]:
    solvers = ["newton-cg", "lbfgs", "liblinear"] if labels == 2 else ["newton-cg", "lbfgs"]
    return lambda trial: {
        "body_learning_rate": trial.suggest_float("body_learning_rate", *LEARNING_RATES, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        "seed": trial.suggest_int("seed", 1, 40),
        "max_iter": trial.suggest_int("max_iter", 50, 300),
        "solver": trial.suggest_categorical("solver", solvers),
    }


def _trainer(order: Order, data: Data, tally: Tally) -> Any:
    import numpy as np
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments  # type: ignore[import-not-found]

    current: dict[str, Any] = {}  # the params of the trial that runs

    def start(params: Mapping[str, Any] | None) -> Any:
        current.clear()
        current.update(params or {})
        head = {name: value for name, value in current.items() if name in ("max_iter", "solver")}
        model = SetFitModel.from_pretrained(order.model, head_params=head)
        if params and order.rival == MENDED:
            trainer.st_trainer.model_wrapped, trainer.st_trainer.optimizer = model.model_body, None
        return model

    def accuracy(predicted: Sequence[int], true: Sequence[int]) -> dict[str, float]:
        value = float((np.asarray(predicted) == np.asarray(true)).mean())
        tally.add(value, current, lambda: trainer.model)
        return {"accuracy": value}

    trainer = Trainer(
        model_init=start,
        args=TrainingArguments(
            output_dir=str(Path(order.output) / "trainer"),
            num_epochs=1,
            num_iterations=iterations(order.limit, len(data.train_texts)),
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            show_progress_bar=False,
        ),
        train_dataset=Dataset.from_dict({"text": data.train_texts, "label": data.train_labels}),
        eval_dataset=Dataset.from_dict({"text": data.validation_texts, "label": data.validation_labels}),
        metric=accuracy,
        callbacks=[stop_at(order.deadline(RESERVE))],
    )
    return trainer


def iterations(limit: float, rows: int) -> int:
    """Positive and negative pairs a row: each is two texts."""
    return max(1, round(limit * TEXTS_A_SECOND / TRAININGS / (4 * rows)))


def _save(model: Any, names: Sequence[str], folder: Path) -> None:
    body, head = model.model_body, model.model_head
    body[0].auto_model.save_pretrained(folder)
    body.tokenizer.save_pretrained(folder)
    described = {
        "labels": [names[number] for number in head.classes_],
        "weights": head.coef_.tolist(),
        "bias": head.intercept_.tolist(),
        "normalize": any(type(module).__name__ == "Normalize" for module in body),
    }
    (folder / HEAD).write_text(json.dumps(described), encoding="utf-8")


if __name__ == "__main__":
    main()
