"""One training, tried once more where that may help, and from where it was stopped if it was."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path

from automl.params import Params
from automl.records import Report
from automl.training.loop import TrainingDiverged
from automl.training.memory import free_memory, is_out_of_memory
from automl.training.pause import Misfit
from automl.training.pause_file import identity, read_pause, write_pause
from automl.training.techniques import Base, Finished, Trainer

Training = Generator[Report | Finished, None, None]


def attempts(
    trainer: Trainer,
    base: Base,
    params: Params,
    *,
    seed: int,
    fold: int | None,
    precision: str,
    study: str,
    pauses: Sequence[Path],
) -> Training:
    """Reports of a trial, and last its end; `retried` where that may help.

    Args:
        fold: what is held out; None holds nothing out.
        study: tells all that trainings of a study have in common from that of another.
        pauses: files that may hold this training's state: it goes on from the first that does. Closed before its end,
            it leaves its state in the first of them.
    """

    def training(precision: str, accumulation: int) -> Training:
        own = identity(study, base.sha256, params.model_dump(), seed, fold, precision, accumulation)
        run = partial(
            trainer.train,
            base,
            params,
            seed=seed,
            fold=fold,
            precision=precision,
            accumulation=accumulation,
            on_stop=partial(write_pause, pauses[0], own),
        )
        found = (read_pause(path, own) for path in pauses)
        try:
            yield from run(paused=next(filter(None, found), None))
        except Misfit:
            yield from run()

    yield from retried(training, precision, str(base.model.device))


def retried(training: Callable[[str, int], Training], precision: str, device: str) -> Training:
    """A loss that is no number: again in float32. No memory: again with halved batches.

    Args:
        training: of a precision and of the parts that each batch is computed in.
    """
    accumulation = 1
    while True:
        try:
            yield from training(precision, accumulation)
            return
        except TrainingDiverged:
            if precision == "float32":
                raise
            precision = "float32"
        except (MemoryError, RuntimeError) as error:
            if accumulation > 1 or not is_out_of_memory(error):
                raise
            accumulation = 2
        free_memory(device)
