"""A committee answers for every row as its models would, and one plain model learns to answer like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.data.batches import concatenate, encode
from automl.errors import NothingUsable
from automl.export.folder import build_model
from automl.models import checkpoint
from automl.params import Params
from automl.records import Rows, Splits
from automl.tasks.kinds import kind_of
from automl.training.data import StudyData, TrainingData
from automl.training.distillation import STUDENT, student_params, targets
from automl.training.keep import read_logits, write_logits
from automl.training.loop import predict_logits
from automl.training.worker import TrialWorker
from tests.tiny import make_rows
from tests.training.conftest import LABELS, TINY, TRAIN, setup_for

KIND = kind_of("classification")
FURTHER, KNOWN = 100, 20  # texts without a label, and how many of them are labelled ones once more
FAST: dict[str, Any] = {"learning_rate": 5e-3, "num_train_epochs": 3, "per_device_train_batch_size": 8}
EXPRESSIBLE = {
    "fine_tuning": {"frozen_layers": 1, "reinitialized_layers": 1},
    "lora": {"technique": "lora", "frozen_layers": 1},
    "ia3": {"technique": "ia3"},
    "bitfit": {"technique": "bitfit"},
    "prompt_tuning": {"technique": "prompt_tuning", "num_virtual_tokens": 4},
    "prefix_tuning": {"technique": "prefix_tuning", "num_virtual_tokens": 4},
}
WITH_HEADS = {
    "features": {"technique": "features", "feature_source": "all"},
    "a mixture of layers": {"technique": "features", "feature_source": "weighted_last_four"},
    "neighbours": {"technique": "features", "feature_head": "knn", "pooling": "max"},
    "contrastive": {"technique": "contrastive", "frozen_layers": 1},
}


def worker_for(found: checkpoint.Checkpoint, study_data: StudyData, folder: Path) -> TrialWorker:
    return TrialWorker(setup_for(found, study_data, folder))


@pytest.fixture(scope="module")
def worker(
    found: checkpoint.Checkpoint, study_data: StudyData, tmp_path_factory: pytest.TempPathFactory
) -> TrialWorker:
    return worker_for(found, study_data, tmp_path_factory.mktemp("trials"))


def further_rows() -> list[dict[str, str]]:
    return [*make_rows(TRAIN)[:KNOWN], *make_rows(FURTHER - KNOWN, seed=5)]


def with_unlabelled(found: checkpoint.Checkpoint, data: StudyData, label: int = -1) -> StudyData:
    """The same study with further texts at the end; the first of them are labelled ones once more."""
    texts = [row["text"] for row in further_rows()]
    further = encode(checkpoint.load_tokenizer(found), texts, np.full(FURTHER, label), 32)
    return replace(data, rows=concatenate([data.rows, further]), unlabelled=FURTHER)


@pytest.fixture(scope="module")
def reader(
    found: checkpoint.Checkpoint, study_data: StudyData, tmp_path_factory: pytest.TempPathFactory
) -> TrialWorker:
    """A worker whose study has texts without a label, too."""
    return worker_for(found, with_unlabelled(found, study_data), tmp_path_factory.mktemp("reader"))


def trained(worker: TrialWorker, params: Mapping[str, Any], number: int = 0, seed: int = 0) -> dict[str, Any]:
    *_, last = worker.run(number, TINY, {**FAST, **params}, seed=seed, fold=0)
    return last


def answered(worker: TrialWorker, params: Mapping[str, Any], last: dict[str, Any], number: int = 0) -> tuple[str, str]:
    said = worker.answer(number, TINY, {**FAST, **params}, last["checkpoint"], last["checkpoint_sha256"])
    return said["answers"], said["answers_sha256"]


def read(said: tuple[str, str]) -> np.ndarray:
    return read_logits(Path(said[0]), said[1])


def exported(found: checkpoint.Checkpoint, params: Mapping[str, Any], last: dict[str, Any]) -> Any:
    nothing = Rows((), np.zeros(0, np.int64))
    splits = Splits(nothing, np.zeros(0, np.int64), nothing, LABELS, "")  # only the names are used
    path, sha256 = Path(last["checkpoint"]), last["checkpoint_sha256"]
    return build_model(found, KIND, splits, Params(**{**FAST, **params}), path, sha256, 1)


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_a_model_answers_as_it_will_when_it_is_exported(
    worker: TrialWorker, found: checkpoint.Checkpoint, data: TrainingData, name: str
) -> None:
    last = trained(worker, EXPRESSIBLE[name])
    logits = read(answered(worker, EXPRESSIBLE[name], last))
    model = exported(found, EXPRESSIBLE[name], last)
    np.testing.assert_allclose(logits, predict_logits(model, data.rows, 0), rtol=1e-3, atol=1e-4)
    seen = read_logits(Path(last["predictions"]), last["predictions_sha256"])
    np.testing.assert_allclose(logits[data.held_out], seen, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", WITH_HEADS)
def test_a_model_with_a_head_of_its_own_answers_as_it_did_in_its_trial(
    worker: TrialWorker, data: TrainingData, name: str
) -> None:
    last = trained(worker, WITH_HEADS[name])
    logits = read(answered(worker, WITH_HEADS[name], last))
    assert logits.shape == (len(data.rows), 2), "every row, altered copies included"
    seen = read_logits(Path(last["predictions"]), last["predictions_sha256"])
    np.testing.assert_allclose(logits[data.held_out], seen, rtol=1e-3, atol=1e-3)


def test_a_checkpoint_that_is_not_the_trials_own_does_not_answer(worker: TrialWorker) -> None:
    last = trained(worker, {})
    with pytest.raises(NothingUsable, match="hash differs"):
        worker.answer(0, TINY, FAST, last["checkpoint"], "0" * 64)


def test_targets_are_the_mean_of_the_members_probabilities() -> None:
    sure, unsure = np.array([[1000.0, 0.0], [0.0, 1000.0]]), np.zeros((2, 2))
    np.testing.assert_allclose(targets([sure, unsure]), [[0.75, 0.25], [0.25, 0.75]])
    np.testing.assert_allclose(targets([unsure + 7]), [[0.5, 0.5], [0.5, 0.5]])
    many = [np.random.default_rng(seed).normal(size=(20, 3)).astype(np.float32) * 5 for seed in range(4)]
    mean = targets(many)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean.sum(axis=1), 1, rtol=1e-5)
    expected = np.mean([torch.from_numpy(logits).softmax(-1).numpy() for logits in many], axis=0)
    np.testing.assert_allclose(mean, expected, rtol=1e-5)


def test_a_student_goes_on_from_its_members_in_smaller_steps_or_is_trained_as_plain_models_are() -> None:
    plain = Params(**FAST, frozen_layers=2, layerwise_lr_decay=0.8)
    student = student_params(plain)
    assert (student.frozen_layers, student.layerwise_lr_decay) == (2, 0.8)
    assert student.learning_rate < plain.learning_rate / 2
    encoder = student_params(Params(technique="contrastive", frozen_layers=2))
    assert (encoder.technique, encoder.frozen_layers) == ("fine_tuning", 2)
    assert encoder.learning_rate < STUDENT.learning_rate / 2
    assert student_params(Params(technique="lora", frozen_layers=1)).frozen_layers == 1
    for technique in ("features", "prefix_tuning"):
        own = Params(technique=technique, starting_weights="domain_adapted", augmentation="typos", learning_rate=0.05)
        student = student_params(own)
        assert student.technique == "fine_tuning"
        assert (student.starting_weights, student.augmentation) == ("domain_adapted", "typos")
        assert student.learning_rate == STUDENT.learning_rate


@pytest.fixture(scope="module")
def committee(worker: TrialWorker) -> list[tuple[str, str]]:
    """What three seeds of one configuration say."""
    ends = [trained(worker, {}, number, seed=number) for number in range(10, 13)]
    return [answered(worker, {}, last, number) for number, last in enumerate(ends, start=10)]


def test_a_student_comes_close_to_its_committee_also_where_it_saw_nothing(
    worker: TrialWorker, found: checkpoint.Checkpoint, data: TrainingData, committee: list[tuple[str, str]]
) -> None:
    mean = targets([read(said) for said in committee])
    rehearsal = worker.teach("rehearsal", TINY, FAST, committee, seed=0, fold=0)
    said = predict_logits(exported(found, {}, rehearsal), data.rows, 0)
    np.testing.assert_allclose(
        said[data.held_out],
        read_logits(Path(rehearsal["predictions"]), rehearsal["predictions_sha256"]),
        rtol=1e-3,
        atol=1e-4,
    )
    agrees = (said.argmax(1) == mean.argmax(1))[data.held_out]
    assert agrees.mean() > 0.9
    together = float(np.mean(mean.argmax(1)[data.held_out] == data.rows.labels[data.held_out]))
    assert rehearsal["value"] > together - 0.1


def test_the_student_that_is_shipped_learns_from_every_labelled_row_and_from_no_label(
    worker: TrialWorker, found: checkpoint.Checkpoint, study_data: StudyData, tmp_path: Path
) -> None:
    # A committee that is always wrong: who learned labels would be right.
    wrong = np.where(study_data.rows.labels[:, None] == np.arange(2), -4.0, 4.0).astype(np.float32)
    file = tmp_path / "wrong.logits"
    student = worker.teach("student", TINY, FAST, [(str(file), write_logits(file, wrong))], seed=0, fold=None)
    assert student["value"] is None
    assert student["train_examples"] == FAST["num_train_epochs"] * len(study_data.folds)
    said = predict_logits(exported(found, {}, student), study_data.rows, 0)[: len(study_data.folds)]
    assert np.mean(said.argmax(1) == study_data.rows.labels[: len(study_data.folds)]) < 0.1


def test_what_a_committee_says_of_held_out_rows_is_not_read(
    worker: TrialWorker, data: TrainingData, committee: list[tuple[str, str]], tmp_path: Path
) -> None:
    blind = read(committee[0]).copy()
    blind[data.held_out] *= -1
    file = tmp_path / "blind.logits"
    members = [committee[0], (str(file), write_logits(file, blind))]
    lessons = [worker.teach(f"of {place}", TINY, FAST, [said], seed=0, fold=0) for place, said in enumerate(members)]
    assert lessons[0]["checkpoint_sha256"] == lessons[1]["checkpoint_sha256"]
    assert lessons[0]["value"] == lessons[1]["value"], "which is measured by labels"


@pytest.mark.parametrize("name", ["plain", "contrastive", "lora"])
def test_a_student_that_begins_with_its_members_weights_knows_what_they_know(worker: TrialWorker, name: str) -> None:
    params: dict[str, Any] = {"technique": "fine_tuning" if name == "plain" else name}
    if name == "lora":
        params |= {"num_train_epochs": 20, "lora_r": 16}
    last = trained(worker, params, 20)
    said = answered(worker, params, last, 20)
    begin = [(last["checkpoint"], last["checkpoint_sha256"])] * 2
    few, more = {"learning_rate": 5e-4, "max_steps": 4}, {"learning_rate": 2e-3, "max_steps": 20}
    short = {**FAST, **(more if name == "contrastive" else few)}  # whose member's head is to be learned
    taught = partial(worker.teach, name, TINY, short, [said], seed=0, fold=0, teachers={**FAST, **params})
    told = [taught(begin=one)["loss"] for one in ([], begin)]
    assert told[1] < told[0] - 0.05, "in so few steps nothing is learned from the start"


def test_lessons_are_reproducible_and_altered_copies_are_part_of_them(
    worker: TrialWorker, committee: list[tuple[str, str]]
) -> None:
    first, again, other = (worker.teach("one", TINY, FAST, committee, seed=seed, fold=0) for seed in (0, 0, 1))
    assert first["checkpoint_sha256"] == again["checkpoint_sha256"] != other["checkpoint_sha256"]
    more = worker.teach("one", TINY, {**FAST, "augmentation": "typos"}, committee, seed=0, fold=0)
    assert more["train_examples"] == 2 * first["train_examples"]


def test_answers_that_were_changed_teach_nothing(worker: TrialWorker, committee: list[tuple[str, str]]) -> None:
    with pytest.raises(NothingUsable, match="hash differs"):
        worker.teach("none", TINY, FAST, [committee[0], (committee[1][0], committee[0][1])], seed=0, fold=None)


@pytest.mark.parametrize("params", [EXPRESSIBLE["fine_tuning"], WITH_HEADS["features"], WITH_HEADS["contrastive"]])
def test_members_answer_for_texts_without_a_label_which_their_trials_never_saw(
    worker: TrialWorker, reader: TrialWorker, study_data: StudyData, params: dict[str, Any]
) -> None:
    without, beside = trained(worker, params), trained(reader, params)
    for same in ("checkpoint_sha256", "predictions_sha256", "train_examples"):
        assert beside[same] == without[same]
    logits = read(answered(reader, params, beside))
    known = read(answered(worker, params, without))
    assert len(logits) == len(known) + FURTHER
    np.testing.assert_allclose(logits[: len(known)], known, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(logits[len(known) :][:KNOWN], known[:KNOWN], rtol=1e-3, atol=1e-3)


def test_a_student_learns_what_its_committee_says_of_texts_without_a_label(
    reader: TrialWorker, found: checkpoint.Checkpoint, study_data: StudyData, tmp_path: Path
) -> None:
    # Of these texts alone the committee knows anything.
    rows = with_unlabelled(found, study_data).rows
    said = np.zeros((len(rows), 2), np.float32)
    right = np.array([LABELS.index(row["label"]) for row in further_rows()])
    said[-FURTHER:] = np.where(right[:, None] == np.arange(2), 4.0, -4.0)
    committee = [(str(tmp_path / "said.logits"), write_logits(tmp_path / "said.logits", said))]
    rehearsal = reader.teach("rehearsal", TINY, {**FAST, "num_train_epochs": 15}, committee, seed=0, fold=0)
    assert rehearsal["value"] > 0.9
    blind = [(str(tmp_path / "blind.logits"), write_logits(tmp_path / "blind.logits", 0 * said))]
    assert reader.teach("blind", TINY, FAST, blind, seed=0, fold=0)["value"] < 0.8


@pytest.mark.parametrize("more", [{}, {"class_weights": "balanced", "balanced_sampling": True}])
def test_labels_of_unlabelled_rows_are_not_read(
    reader: TrialWorker, found: checkpoint.Checkpoint, study_data: StudyData, tmp_path: Path, more: dict[str, Any]
) -> None:
    other = worker_for(found, with_unlabelled(found, study_data, label=1), tmp_path)
    last = trained(reader, {})
    committee = [answered(reader, {}, last)]
    lessons = [one.teach("one", TINY, {**FAST, **more}, committee, seed=0, fold=0) for one in (reader, other)]
    assert lessons[0]["checkpoint_sha256"] == lessons[1]["checkpoint_sha256"]


@pytest.mark.parametrize("copies", [0, 1])
def test_a_lesson_is_not_longer_for_texts_without_a_label(
    reader: TrialWorker, study_data: StudyData, tmp_path: Path, copies: int
) -> None:
    params = FAST | ({"augmentation": "typos", "augmentation_copies": copies} if copies else {})
    said = np.zeros((len(study_data.rows) + FURTHER, 2), np.float32)
    committee = [(str(tmp_path / "said.logits"), write_logits(tmp_path / "said.logits", said))]
    lesson = reader.teach("one", TINY, params, committee, seed=0, fold=0)
    batch, whole = FAST["per_device_train_batch_size"], FAST["num_train_epochs"] * TRAIN * (1 + copies)
    assert whole - 3 * batch < lesson["train_examples"] <= whole, "the last batch of an epoch may not be full"


def test_where_labels_are_the_lesson_rows_without_one_are_no_part_of_it(
    worker: TrialWorker, reader: TrialWorker
) -> None:
    without, beside = (one.teach("refit", TINY, FAST, [], seed=0, fold=None) for one in (worker, reader))
    assert beside["train_examples"] == without["train_examples"]
    assert beside["checkpoint_sha256"] == without["checkpoint_sha256"]
