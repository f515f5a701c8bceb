"""A training that is stopped, written to disk and read again ends as one that never was, to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.models import checkpoint
from automl.models.adapters import trained_tensors
from automl.models.shape import shape
from automl.params import Params
from automl.records import Report, TrialResult
from automl.tasks.kinds import kind_of
from automl.training.cache import StateCache
from automl.training.data import TrainingData
from automl.training.loop import train
from automl.training.pause import Misfit, Paused
from automl.training.pause_file import read_pause, write_pause
from automl.training.precision import by_columns, computing_in
from tests.training.conftest import LABELS

KIND = kind_of("classification")
# Three epochs of five batches: most evaluation points are within one.
SHORT = {"learning_rate": 5e-3, "num_train_epochs": 3, "per_device_train_batch_size": 24}

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "frozen, from the cache": {"frozen_layers": 2},
    "lora": {"technique": "lora", "lora_dropout": 0.1, "frozen_layers": 1},
    "ema": {"weight_averaging": "ema"},
    "swa": {"weight_averaging": "swa", "balanced_sampling": True, "augmentation": "typos"},
    "gradual unfreezing": {"gradual_unfreezing": 0.7, "layerwise_lr_decay": 0.8, "pretrained_decay": 0.1},
    # Step sizes that break what was learned: the best step is not the last one.
    "early stopping": {"learning_rate": 0.07, "early_stopping_patience": 2},
    "early stopping soon": {"learning_rate": 0.1, "early_stopping_patience": 1, "gradual_unfreezing": 1.0},
    "r_drop": {"r_drop": 1.0},
    "mixup": {"mixup_alpha": 0.5, "class_weights": "balanced"},
    "mixout": {"mixout": 0.3},
    "halved batches": {"accumulation": 2, "mixup_alpha": 0.5, "optim": "adamw_uncorrected"},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, much at once": {
        "precision": "bfloat16",
        "frozen_layers": 1,
        "weight_averaging": "ema",
        "r_drop": 1.0,
        "mixout": 0.3,
        "gradual_unfreezing": 0.5,
        "early_stopping_patience": 4,
    },
}


@dataclass
class Course:
    """A training as it went: what it said, and the model that it left."""

    said: list[tuple[Any, ...]]
    kept: list[Paused]
    weights: dict[str, torch.Tensor]
    trained: list[str] = field(default_factory=list)
    result: TrialResult | None = None


@pytest.fixture(scope="module")
def run(
    found: checkpoint.Checkpoint, data: TrainingData, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Course]:
    """Trains a case from its beginning or a state, to its end or the evaluation point after which it is stopped."""
    cache = StateCache(tmp_path_factory.mktemp("cache"))
    torch.manual_seed(0)
    loaded, _ = checkpoint.load(found, KIND.auto_class, LABELS)

    def run(case: str, paused: Paused | None = None, stop: int | None = None) -> Course:
        changed = {**SHORT, **CASES[case]}
        precision, accumulation = changed.pop("precision", "float32"), changed.pop("accumulation", 1)
        params = Params(**changed)
        torch.manual_seed(0)
        model = copy.deepcopy(loaded)
        shape(model, params)
        by_columns(model)
        with computing_in(model, precision):
            states = (
                cache.states(
                    model, params.frozen_layers, data.rows, np.arange(len(data.rows)), weights="w", pad_token_id=0
                )
                if params.frozen_layers
                else None
            )
        own = {name: value.detach().clone() for name, value in model.named_parameters() if "classifier" not in name}
        course = Course([], [], {})
        training = train(
            model,
            params,
            data,
            KIND,
            seed=0,
            precision=precision,
            cached=states,
            pretrained=own if params.mixout or params.pretrained_decay else {},
            accumulation=accumulation,
            paused=paused,
            on_stop=course.kept.append,
        )
        for item in training:
            if isinstance(item, TrialResult):
                course.result = item
                break
            course.said.append((item.step, item.value, item.loss, item.train_loss))
            if item.step == stop:
                break
        training.close()
        course.weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        course.trained = list(trained_tensors(model))
        return course

    return run


@pytest.fixture(scope="module")
def whole(run: Callable[..., Course]) -> Callable[[str], Course]:
    """The case without a stop, trained once."""
    courses: dict[str, Course] = {}

    def whole(case: str) -> Course:
        if case not in courses:
            courses[case] = run(case)
        return courses[case]

    return whole


def through_a_file(path: Path, paused: Paused) -> Paused:
    write_pause(path, "this training", paused)
    read = read_pause(path, "this training")
    assert read is not None
    return read


def assert_same_end(course: Course, expected: Course) -> None:
    one, other = course.result, expected.result
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.logits, other.logits)
    assert (one.value, one.loss, one.best_step) == (other.value, other.loss, other.best_step)
    assert (one.train_examples, one.precision, one.cached_layers) == (
        other.train_examples,
        other.precision,
        other.cached_layers,
    )
    assert all(torch.equal(course.weights[name], weight) for name, weight in expected.weights.items())
    assert course.trained == expected.trained, "a checkpoint holds the same"


@pytest.mark.parametrize("stop", [1, 2, 4, 6])
@pytest.mark.parametrize("case", CASES)
def test_a_stopped_training_goes_on_to_the_same_end(
    run: Callable[..., Course], whole: Callable[[str], Course], tmp_path: Path, case: str, stop: int
) -> None:
    expected = whole(case)
    if stop not in [step for step, *_ in expected.said]:
        pytest.skip("it had stopped early")
    (paused,) = run(case, stop=stop).kept
    course = run(case, through_a_file(tmp_path / "state", paused))
    assert course.said == [said for said in expected.said if said[0] > stop]
    assert course.result is not None
    assert course.result.resumed_step == stop
    assert_same_end(course, expected)


@pytest.mark.parametrize("case", ["plain", "early stopping soon", "bfloat16, much at once"])
def test_it_may_be_stopped_again_and_again(
    run: Callable[..., Course], whole: Callable[[str], Course], tmp_path: Path, case: str
) -> None:
    expected, paused = whole(case), None
    for said in expected.said:  # the last one too, after which there is nothing left but to end
        course = run(case, paused, stop=said[0])
        assert course.said == [said]
        paused = through_a_file(tmp_path / f"{said[0]}", course.kept[0])
    assert_same_end(run(case, paused), expected)


def test_the_cases_are_what_they_are_called(whole: Callable[[str], Course]) -> None:
    ends = {case: whole(case) for case in CASES}
    assert ends["frozen, from the cache"].result.cached_layers == 2  # type: ignore[union-attr]
    assert [step for step, *_ in ends["early stopping soon"].said][-1] < 8
    assert 0 < ends["early stopping"].result.best_step < ends["early stopping"].said[-1][0]  # type: ignore[union-attr]
    assert len({str(course.said) for course in ends.values()}) == len(CASES)


def test_a_state_holds_what_is_trained_and_nothing_else(run: Callable[..., Course], tmp_path: Path) -> None:
    sizes = {}
    for case in ("plain", "frozen, from the cache", "lora"):
        course = run(case, stop=2)
        write_pause(tmp_path / case, "", course.kept[0])
        sizes[case] = (tmp_path / case).stat().st_size
        trained = sum(tensor.numel() for name, tensor in course.kept[0].tensors.items() if "weights" in name)
        assert sizes[case] < 3 * 4 * trained + 20_000  # values and two moments; two generators of 5 kB, names
    assert sizes["lora"] < sizes["frozen, from the cache"] < sizes["plain"] / 2


def test_who_is_not_asked_for_a_state_gives_none(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    model, _ = checkpoint.load(found, KIND.auto_class, LABELS)
    training = train(model, Params(**SHORT), data, KIND, seed=0)
    assert isinstance(next(training), Report)
    training.close()


def test_a_training_that_ended_is_not_stopped(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    model, _ = checkpoint.load(found, KIND.auto_class, LABELS)
    kept: list[Paused] = []
    training = train(model, Params(**SHORT), data, KIND, seed=0, on_stop=kept.append)
    for item in training:
        if isinstance(item, TrialResult):
            break
    training.close()
    assert kept == []


def test_a_state_of_another_training_is_refused(run: Callable[..., Course]) -> None:
    (paused,) = run("plain", stop=2).kept
    unknown = replace(paused, numbers={**paused.numbers, "mood": 1})
    without = replace(paused, tensors={name: one for name, one in paused.tensors.items() if name != "random"})
    short = replace(paused, tensors={**paused.tensors, "weights.0": paused.tensors["weights.0"][:1]})
    for other in (unknown, without, short, run("lora", stop=2).kept[0]):
        with pytest.raises(Misfit):
            run("plain", other)
