"""One trial, tried once more where that may help, and from where it was stopped if it was."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

from automl.params import Params
from automl.records import Report
from automl.training.loop import TrainingDiverged
from automl.training.memory import free_memory, is_out_of_memory
from automl.training.pause import Misfit
from automl.training.pause_file import identity, read_pause, write_pause
from automl.training.techniques import Base, Finished, Trainer


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
) -> Generator[Report | Finished, None, None]:
    """Reports, and last the end. A loss that is no number: again in float32. No memory: again with halved batches.

    Args:
        fold: what is held out; None holds nothing out.
        study: tells all that trainings of a study have in common from that of another.
        pauses: files that may hold this training's state: it goes on from the first that does. Closed before its end,
            it leaves its state in the first of them.
    """
    accumulation, readable = 1, pauses
    while True:
        training = identity(study, base.sha256, params.model_dump(), seed, fold, precision, accumulation)
        found = (read_pause(path, training) for path in readable)
        try:
            yield from trainer.train(
                base,
                params,
                seed=seed,
                fold=fold,
                precision=precision,
                accumulation=accumulation,
                paused=next(filter(None, found), None),
                on_stop=partial(write_pause, pauses[0], training),
            )
            return
        except Misfit:
            readable = []
        except TrainingDiverged:
            if precision == "float32":
                raise
            precision = "float32"
        except (MemoryError, RuntimeError) as error:
            if accumulation > 1 or not is_out_of_memory(error):
                raise
            accumulation = 2
        free_memory(str(base.model.device))
