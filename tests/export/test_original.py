"""The winner's own models, kept beside the shipped one, answer as they did in the search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.data.batches import encode
from automl.data.folds import make_folds
from automl.errors import ModelError, NothingUsable
from automl.export.original import INDEX, Member, Original, load_original, probabilities, write_original
from automl.models import checkpoint
from automl.params import Params
from automl.training.data import StudyData
from automl.training.distillation import targets
from automl.training.keep import read_logits
from automl.training.worker import TrialWorker, WorkerSetup
from tests.tiny import make_model, make_rows
from tests.training.conftest import TINY, backbone_setup

LABELS = ("negative", "positive")
PARAMS = {
    "fine_tuning": {"frozen_layers": 1},
    "all of it": {},
    "features": {"technique": "features", "feature_source": "all"},
    "contrastive": {"technique": "contrastive"},
    "lora": {"technique": "lora"},
}
FAST = {"learning_rate": 5e-3, "num_train_epochs": 15, "per_device_train_batch_size": 8}
TEXTS = [row["text"] for row in make_rows(40)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    return checkpoint.resolve(str(make_model(tmp_path_factory.mktemp("model"), extra_words=100)))


@pytest.fixture(scope="module")
def worker(found: checkpoint.Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> TrialWorker:
    labels = np.array([LABELS.index(row["label"]) for row in make_rows(40)])
    rows = encode(checkpoint.load_tokenizer(found), TEXTS, labels, 32)
    folder = tmp_path_factory.mktemp("trials")
    own = backbone_setup(found, StudyData(rows, make_folds(labels, None, 2, 0), 0))
    setup = WorkerSetup({TINY: own}, "classification", LABELS, folder, 1, "cpu", folder / "c")
    return TrialWorker(setup)


def kept(worker: TrialWorker, found: checkpoint.Checkpoint, name: str, folder: Path) -> tuple[Path, np.ndarray]:
    """Two models of a technique, written; and what they said together in the search."""
    params = Params(**{**FAST, **PARAMS[name]})
    members, said = [], []
    for fold in (0, 1):
        *_, end = worker.run(fold, TINY, params.model_dump(), seed=fold, fold=fold)
        members.append(Member(end["checkpoint"], end["checkpoint_sha256"], fold))
        answer = worker.answer(fold, TINY, params.model_dump(), end["checkpoint"], end["checkpoint_sha256"])
        said.append(read_logits(Path(answer["answers"]), answer["answers_sha256"]))
    write_original(Original(found, params, members, LABELS, "classification", 32), folder)
    return folder, targets(said)


@pytest.mark.parametrize("name", PARAMS)
def test_it_answers_as_in_the_search(
    worker: TrialWorker, found: checkpoint.Checkpoint, name: str, tmp_path: Path
) -> None:
    folder, expected = kept(worker, found, name, tmp_path)
    for place in (folder, folder / "original"):
        np.testing.assert_allclose(probabilities(load_original(place), TEXTS), expected, atol=2e-2)  # bfloat16
    assert np.ptp(expected[:, 0]) > 0.05, "else anything would do"


def test_a_folder_without_one_says_how_to_have_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no original that can be read .*--keep-original"):
        load_original(tmp_path)


def test_what_was_changed_is_not_used(worker: TrialWorker, found: checkpoint.Checkpoint, tmp_path: Path) -> None:
    folder, _ = kept(worker, found, "features", tmp_path)
    with (folder / "original" / "trial-00000.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(NothingUsable, match="is not what its trial wrote"):
        probabilities(load_original(folder), TEXTS)
    (folder / "original" / INDEX).write_text("{}")
    with pytest.raises(ModelError, match="no original"):
        load_original(folder)
