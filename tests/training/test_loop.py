"""The train loop learns, is reproducible, compares at fractions of a schedule, and ends with its best step."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.data.batches import encode
from automl.models import checkpoint, vocabulary
from automl.models.layers import encoder_layers, freeze
from automl.params import Params
from automl.records import Encoded, Report, TrialResult
from automl.tasks.kinds import kind_of
from automl.training import loop
from automl.training.loop import TrainingData, TrainingDiverged, predict_logits, train
from automl.training.precision import best_precision
from tests.tiny import make_model, make_rows

KIND = kind_of("classification")
LABELS = ("negative", "positive")
FAST = Params(learning_rate=5e-3, num_train_epochs=4, per_device_train_batch_size=8)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    folder = make_model(tmp_path_factory.mktemp("model"), extra_words=500)
    return checkpoint.resolve(str(folder))


@pytest.fixture(scope="module")
def data(found: checkpoint.Checkpoint) -> TrainingData:
    def part(count: int, seed: int) -> Encoded:
        rows = make_rows(count, seed)
        labels = np.array([LABELS.index(row["label"]) for row in rows])
        return encode(checkpoint.load_tokenizer(found), [row["text"] for row in rows], labels, 32)

    return TrainingData({"none": part(120, 0)}, part(60, 1), pad_token_id=0)


def fresh(found: checkpoint.Checkpoint, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return checkpoint.load(found, KIND.auto_class, LABELS)[0]


def run(
    found: checkpoint.Checkpoint, data: TrainingData, params: Params = FAST, **options: Any
) -> tuple[Any, list[Report], TrialResult]:
    model = fresh(found)
    *reports, result = train(model, params, data, KIND, **{"seed": 0, **options})
    assert isinstance(result, TrialResult)
    return model, reports, result  # type: ignore[return-value]


def test_it_learns_and_reports_at_fractions_of_its_own_schedule(
    found: checkpoint.Checkpoint, data: TrainingData
) -> None:
    _, reports, result = run(found, data)
    assert [(report.step, report.steps) for report in reports] == [(1, 8), (2, 8), (4, 8), (6, 8), (8, 8)]
    assert result.value > 0.9
    assert result.train_examples == 4 * 120
    assert reports[-1].train_loss < reports[0].train_loss


def test_equal_seeds_give_equal_trainings(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    values = [[(r.value, r.train_loss) for r in run(found, data, seed=seed)[1]] for seed in (0, 0, 1)]
    assert values[0] == values[1]
    assert values[0] != values[2]


def test_the_model_ends_with_the_weights_of_its_best_step(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    # A step size that breaks what was learned: the best step is not the last one.
    for seed in range(20):
        model, reports, result = run(found, data, FAST.model_copy(update={"learning_rate": 0.05}), seed=seed)
        if result.best_step < 8 and reports[-1].value < result.value:
            break
    else:
        pytest.fail("no seed gave a best step before the last: the test needs another step size")
    predictions = KIND.predict(predict_logits(model, data.validation, 0))
    assert np.mean(predictions == data.validation.labels) == result.value == max(report.value for report in reports)


def test_a_schedule_shorter_than_its_evaluation_points_still_ends_at_eight_eighths(
    found: checkpoint.Checkpoint, data: TrainingData
) -> None:
    _, reports, _ = run(
        found, data, FAST.model_copy(update={"num_train_epochs": 1, "per_device_train_batch_size": 120})
    )
    assert [report.step for report in reports] == [8]


def test_an_infinite_loss_is_an_error_that_says_where(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    model = fresh(found)
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    with pytest.raises(
        TrainingDiverged, match=r"training loss is nan between batches 1 and 8 of 60: learning_rate 0\.005"
    ):
        list(train(model, FAST, data, KIND, seed=0))


@pytest.mark.parametrize("frozen", [0, 1, 2, 3])
def test_frozen_layers_and_embeddings_keep_their_weights_and_the_others_do_not(
    found: checkpoint.Checkpoint, data: TrainingData, frozen: int
) -> None:
    before = {name: value.clone() for name, value in fresh(found).state_dict().items()}
    model, _, _ = run(found, data, FAST.model_copy(update={"frozen_layers": frozen}))
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    layers = [name for name in before if ".layer." in name]
    assert {name for name in layers if int(name.split(".layer.")[1].split(".")[0]) < frozen} == same & set(layers)
    assert ("bert.embeddings.word_embeddings.weight" in same) == (frozen > 0)
    assert "classifier.weight" not in same


def test_frozen_layers_have_no_dropout(found: checkpoint.Checkpoint) -> None:
    model = fresh(found).train()
    freeze(model, 2)
    assert [block.training for block in encoder_layers(model)] == [False, False, True]
    assert not model.bert.embeddings.training
    assert model.dropout.training


def test_the_used_vocabulary_gives_the_same_training_and_the_full_table_the_same_predictions(
    found: checkpoint.Checkpoint, data: TrainingData
) -> None:
    full, full_reports, _ = run(found, data)
    used = vocabulary.used_tokens([data.train["none"], data.validation], 0)
    trimmed = fresh(found)
    original = trimmed.get_input_embeddings().weight.detach().clone()
    vocabulary.trim(trimmed, used)
    assert trimmed.get_input_embeddings().weight.shape[0] == len(used) < len(original) / 10
    small = TrainingData(
        {"none": vocabulary.renumber(data.train["none"], used)},
        vocabulary.renumber(data.validation, used),
        pad_token_id=0,
    )
    *reports, _ = train(trimmed, FAST, small, KIND, seed=0)
    assert [r.value for r in reports if isinstance(r, Report)] == [r.value for r in full_reports]
    restored = vocabulary.restore(original, trimmed.get_input_embeddings().weight.detach(), used)
    torch.testing.assert_close(restored, full.get_input_embeddings().weight.detach(), rtol=1e-4, atol=1e-5)
    unseen = np.setdiff1d(np.arange(len(original)), used)
    assert torch.equal(restored[unseen], full.get_input_embeddings().weight[unseen])  # no gradient and no decay either


def test_the_warm_up_rises_to_the_peak_and_the_decay_ends_at_zero() -> None:
    factors = [loop._linear(step, 100, 0.1) for step in range(101)]
    assert factors[0] > 0
    assert max(factors) == factors[10] == 1.0
    assert all(a < b for a, b in pairwise(factors[:11]))
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert factors[100] == 0
    assert loop._linear(0, 100, 0.0) == 1.0


def test_adamw_corrects_its_bias(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    # With correction the first step moves each weight by the learning rate, whatever the gradient's size;
    # without it the step would be 0.1 / sqrt(0.001) = 3.2 times that.
    model = fresh(found)
    optimizer = loop._optimizer(model, Params(learning_rate=1e-3, weight_decay=0.0))
    before = model.classifier.weight.detach().clone()
    model.classifier.weight.sum().backward()
    optimizer.step()
    torch.testing.assert_close(
        before - model.classifier.weight.detach(), torch.full_like(before, 1e-3), rtol=1e-3, atol=1e-7
    )


def test_only_matrices_of_layers_decay(found: checkpoint.Checkpoint) -> None:
    model = fresh(found)
    decayed, free = loop._optimizer(model, Params(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert any(parameter is model.get_input_embeddings().weight for parameter in free["params"])


def test_bfloat16_reaches_what_float32_reaches(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    model, _, result = run(found, data, precision="bfloat16")
    assert result.value > 0.9
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert best_precision("cpu") in ("bfloat16", "float32")


def test_stopping_the_iteration_stops_the_training(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    model = fresh(found)
    training = train(model, FAST, data, KIND, seed=0)
    assert isinstance(next(training), Report)
    training.close()
    assert list(training) == []


def test_predictions_come_in_the_order_of_the_rows(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    model = fresh(found)
    together = predict_logits(model, data.validation, 0)
    starts = data.validation.starts
    for row in (0, 7, 59):
        ids = data.validation.features["input_ids"][starts[row] : starts[row + 1]]
        alone = replace(
            data.validation,
            features={name: values[starts[row] : starts[row + 1]] for name, values in data.validation.features.items()},
            starts=np.array([0, len(ids)]),
            labels=data.validation.labels[row : row + 1],
        )
        np.testing.assert_allclose(predict_logits(model, alone, 0)[0], together[row], rtol=1e-4, atol=1e-5)


def test_a_folder_without_safetensors_is_refused_and_says_what_it_has(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    from automl.errors import ModelError

    with pytest.raises(
        ModelError, match=r"no \*\.safetensors in .* \(it has pytorch_model\.bin, a pickle, which is never"
    ):
        checkpoint.resolve(str(folder))
