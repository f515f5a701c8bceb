"""The train loop learns, is reproducible, compares at fractions of a schedule, and ends with what it should keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.models import checkpoint, vocabulary
from automl.models.layers import encoder_layers, freeze, set_dropout
from automl.params import Params
from automl.records import Report, TrialResult
from automl.tasks.kinds import kind_of
from automl.training import loop
from automl.training.cache import StateCache
from automl.training.data import TrainingData
from automl.training.loop import TrainingDiverged, predict_logits, train
from automl.training.precision import best_precision, by_columns
from tests.tiny import make_model
from tests.training.conftest import LABELS, TRAIN

KIND = kind_of("classification")
FAST = Params(learning_rate=5e-3, num_train_epochs=4, per_device_train_batch_size=8)


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


def test_it_tells_what_the_kept_weights_say_of_the_held_out_rows(
    found: checkpoint.Checkpoint, data: TrainingData
) -> None:
    model, reports, result = run(found, data)
    logits = predict_logits(model, data.rows, 0, data.held_out)
    np.testing.assert_allclose(result.logits, logits, rtol=1e-4, atol=1e-5)
    labels = data.rows.labels[data.held_out]
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    assert result.loss == pytest.approx(loss.item(), rel=1e-4)
    assert result.loss == reports[-1].loss != reports[0].loss


@pytest.mark.parametrize("patience", [0, 1])
def test_without_held_out_rows_it_has_no_value_and_keeps_its_last_step(
    found: checkpoint.Checkpoint, data: TrainingData, patience: int
) -> None:
    params = FAST.model_copy(update={"early_stopping_patience": patience})
    model, reports, result = run(found, replace(data, held_out=np.arange(0)), params)
    assert [report.step for report in reports] == [1, 2, 4, 6, 8], "nothing tells it to stop early"
    assert {(report.value, report.loss) for report in reports} == {(None, None)}
    assert (result.value, result.loss, result.best_step) == (None, None, 8)
    assert result.logits.shape == (0, 2)
    watched, *_ = run(found, data, FAST)
    for one, other in zip(model.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other), "looking at held-out rows changes nothing"


@pytest.mark.parametrize(("epochs", "least", "steps"), [(1, 40, 40), (4, 40, 60), (1, 0, 15)])
def test_a_training_has_at_least_so_many_steps_and_whole_batches(
    found: checkpoint.Checkpoint, data: TrainingData, epochs: int, least: int, steps: int
) -> None:
    params = FAST.model_copy(update={"num_train_epochs": epochs, "min_steps": least})
    _, reports, result = run(found, data, params)
    assert result.train_examples == 8 * steps
    assert reports[-1].step == 8


@pytest.mark.parametrize("patience", [0, 2])
def test_it_ends_with_the_last_steps_weights_or_with_early_stopping_the_best_ones(
    found: checkpoint.Checkpoint, data: TrainingData, patience: int
) -> None:
    # A step size that breaks what was learned: the best step is not the last one.
    params = FAST.model_copy(update={"learning_rate": 0.05, "early_stopping_patience": patience})
    for seed in range(20):
        model, reports, result = run(found, data, params, seed=seed)
        best = max(report.value for report in reports)
        if reports[-1].value < best:
            break
    else:
        pytest.fail("no seed gave a better step before the last: the test needs another step size")
    predictions = KIND.predict(predict_logits(model, data.rows, 0, data.held_out))
    right = np.mean(predictions == data.rows.labels[data.held_out])
    assert right == result.value == (best if patience else reports[-1].value)
    assert (KIND.predict(result.logits) == predictions).all()
    assert (result.best_step == reports[-1].step) == (not patience)


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
    used = vocabulary.used_tokens([data.rows], 0)
    trimmed = fresh(found)
    original = trimmed.get_input_embeddings().weight.detach().clone()
    vocabulary.trim(trimmed, used)
    assert trimmed.get_input_embeddings().weight.shape[0] == len(used) < len(original) / 10
    small = replace(data, rows=vocabulary.renumber(data.rows, used))
    *reports, _ = train(trimmed, FAST, small, KIND, seed=0)
    assert [r.value for r in reports if isinstance(r, Report)] == [r.value for r in full_reports]
    restored = vocabulary.restore(original, trimmed.get_input_embeddings().weight.detach(), used)
    torch.testing.assert_close(restored, full.get_input_embeddings().weight.detach(), rtol=1e-4, atol=1e-5)
    unseen = np.setdiff1d(np.arange(len(original)), used)
    assert torch.equal(restored[unseen], full.get_input_embeddings().weight[unseen])  # no gradient and no decay either


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
    together = predict_logits(model, data.rows, 0, data.held_out)
    for place in (0, 7, 59):
        alone = predict_logits(model, data.rows, 0, data.held_out[place : place + 1])
        np.testing.assert_allclose(alone[0], together[place], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layers", "precision"), [(1, "float32"), (2, "float32"), (3, "float32"), (2, "bfloat16")])
def test_cached_layers_change_neither_losses_nor_weights(
    found: checkpoint.Checkpoint, data: TrainingData, tmp_path: Path, layers: int, precision: str
) -> None:
    params = FAST.model_copy(update={"frozen_layers": layers, "augmentation": "typos"})
    plain, plain_reports, _ = run(found, data, params, precision=precision)
    model = fresh(found)
    with loop.computing_in(model, precision):
        rows = np.arange(len(data.rows))
        states = StateCache(tmp_path).states(model, layers, data.rows, rows, weights="w", pad_token_id=0)
    assert states is not None
    model = fresh(found)
    *reports, result = train(model, params, data, KIND, seed=0, precision=precision, cached=states)
    assert isinstance(result, TrialResult)
    assert result.cached_layers == layers
    tolerance = 1e-4 if precision == "float32" else 0.02
    for one, other in zip(plain_reports, reports, strict=True):
        assert isinstance(other, Report)
        assert one.train_loss == pytest.approx(other.train_loss, rel=tolerance)
    if precision == "float32":
        for (name, one), other in zip(plain.named_parameters(), model.parameters(), strict=True):
            if not name.endswith("key.bias"):  # it has no effect: its gradient is rounding error
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4, msg=name)


def test_a_batch_in_parts_trains_like_the_whole(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    params = FAST.model_copy(update={"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    ends = []
    for accumulation in (1, 2, 3):
        model = fresh(found)
        set_dropout(model, 0.0, 0.0)
        *_, result = train(model, params, data, KIND, seed=0, accumulation=accumulation)
        assert isinstance(result, TrialResult)
        assert result.accumulation == accumulation
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(ends[0], ends[2], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    "changed",
    [
        {"lr_scheduler_type": "cosine"},
        {"warmup_ratio": 0.5},
        {"layerwise_lr_decay": 0.5},
        {"head_lr_multiplier": 5.0},
        {"gradual_unfreezing": 0.5},
        {"optim": "adamw_uncorrected"},
        {"weight_decay": 0.5},
        {"pretrained_decay": 0.5},
        {"mixout": 0.5},
        {"r_drop": 2.0},
        {"label_smoothing_factor": 0.2},
        {"max_grad_norm": 0.01},
        {"weight_averaging": "ema"},
        {"mixup_alpha": 0.5},
        {"class_weights": "balanced"},
        {"focal_gamma": 2.0},
        {"balanced_sampling": True},
        {"augmentation": "typos"},
        {"max_steps": 20},
        {"min_steps": 40},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_param_of_a_recipe_changes_the_training(
    found: checkpoint.Checkpoint, data: TrainingData, plain_end: torch.Tensor, changed: dict[str, Any]
) -> None:
    assert not torch.allclose(plain_end, end_of_a_short_training(found, data, **changed), rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def plain_end(found: checkpoint.Checkpoint, data: TrainingData) -> torch.Tensor:
    first, again = (end_of_a_short_training(found, data) for _ in range(2))
    assert torch.equal(first, again), "what differs does so by its params"
    return first


def end_of_a_short_training(found: checkpoint.Checkpoint, data: TrainingData, **changed: Any) -> torch.Tensor:
    """All weights in one, [weights]. Labels are 2 : 1, so that weights and balanced sampling have something to do."""
    ones = data.train[data.rows.labels[data.train] == 1]
    uneven = replace(data, train=np.concatenate([data.train[data.rows.labels[data.train] == 0], ones[::2]]))
    params = FAST.model_copy(update={"num_train_epochs": 2, "learning_rate": 1e-3, **changed})
    model = fresh(found)
    held = {name: value.detach().clone() for name, value in model.named_parameters() if "classifier" not in name}
    list(train(model, params, uneven, KIND, seed=0, pretrained=held))
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_averaged_weights_are_those_evaluated_and_kept(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    params = FAST.model_copy(update={"weight_averaging": "swa", "learning_rate": 0.02})
    model, reports, result = run(found, data, params)
    predictions = KIND.predict(predict_logits(model, data.rows, 0, data.held_out))
    assert np.mean(predictions == data.rows.labels[data.held_out]) == result.value == reports[-1].value


def test_early_stopping_stops_and_keeps_the_best(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    params = FAST.model_copy(update={"early_stopping_patience": 1, "num_train_epochs": 30})
    _, reports, result = run(found, data, params)
    assert reports[-1].step < 8
    assert reports[-1].value <= result.value == max(report.value for report in reports)
    assert result.train_examples < 30 * TRAIN


def test_gradual_unfreezing_moves_the_top_first(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    # Of 60 steps 54 unfreeze: the head alone, then layer 3, 2, and 1 for the last tenth.
    params = FAST.model_copy(update={"gradual_unfreezing": 0.9, "learning_rate": 1e-3})
    before = {name: value.detach().clone() for name, value in fresh(found).named_parameters()}
    moved: list[set[int]] = []
    model = fresh(found)
    for item in train(model, params, data, KIND, seed=0):
        if isinstance(item, Report):
            now = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
            moved.append({int(name.split(".layer.")[1][0]) for name in now if ".layer." in name})
    assert moved[0] == set()
    assert moved[1:4] == [set(), {2}, {1, 2}] or moved[1:4] == [{2}, {2}, {1, 2}] or moved[2] <= {1, 2}
    assert moved[-1] == {0, 1, 2}


def test_soft_targets_are_learned(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    wanted = np.full((len(data.rows), 2), 0.5, dtype=np.float32)
    wanted[:, 0] += 0.4
    wanted[:, 1] -= 0.4
    model = fresh(found)
    list(train(model, FAST, data, KIND, seed=0, targets=wanted))
    logits = torch.from_numpy(predict_logits(model, data.rows, 0, data.held_out))
    assert float(logits.softmax(-1)[:, 0].mean()) == pytest.approx(0.9, abs=0.08)


def test_weights_laid_out_by_columns_train_the_same(found: checkpoint.Checkpoint, data: TrainingData) -> None:
    plain, _, _ = run(found, data)
    model = fresh(found)
    by_columns(model)
    list(train(model, FAST, data, KIND, seed=0))
    start, one, other = (
        torch.cat([weight.detach().flatten() for weight in each.parameters()]) for each in (fresh(found), plain, model)
    )
    # AdamW makes whole steps of gradients that are all rounding error; single weights may part, not where all go.
    assert (other - one).norm() < 0.01 * (one - start).norm()


def test_a_folder_without_safetensors_is_refused_and_says_what_it_has(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    from automl.errors import ModelError

    with pytest.raises(
        ModelError, match=r"no \*\.safetensors in .* \(it has pytorch_model\.bin, a pickle, which is never"
    ):
        checkpoint.resolve(str(folder))
