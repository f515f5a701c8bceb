"""What is searched over: the encoders that were named, and the fingerprints that tell one study from another."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl.backbones import Backbone, find_backbones, short_names
from automl.errors import FetchError, ModelError, UsageError
from automl.models.checkpoint import LOCAL, Checkpoint
from automl.pipeline import SECONDS_TO_END, _seconds_after_trials
from automl.prepare import Prepared, Request, prepare
from automl.printout import plan_text
from automl.spaces import load_space
from automl.tasks import sources
from tests.tiny import SPACE, make_model, make_rows, write_csv, write_space

MASKING = "name: x\nparams: {augmentation: masked_words}\n"
PROMPTS = "name: x\nparams: {technique: prompt_tuning, num_virtual_tokens: {type: int, low: 4, high: 20}}\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models, and the first one once more elsewhere."""
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / "small")
    make_model(folder / "deep", layers=5, words_first=20, seed=1)
    make_model(folder / "third", seed=2)
    shutil.copytree(folder / "small", folder / "again" / "small")
    return folder


@pytest.fixture
def prepared(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Prepared]:
    """A request for these models, prepared."""
    write_csv(tmp_path / "rows.csv", make_rows(60))
    write_space(tmp_path / "space.yaml", SPACE)
    monkeypatch.chdir(models)

    def build(model: str, **options: Any) -> Prepared:
        task, space = str(tmp_path / "rows.csv"), str(tmp_path / "space.yaml")
        return prepare(Request(**{"task": task, "budget": 3, "search_space": space, "model": model, **options}))

    return build


def found(models: str, tmp_path: Path, space: str = SPACE, **options: Any) -> dict[str, Any]:
    written = load_space(str(write_space(tmp_path / "space.yaml", space)))
    return find_backbones(models, written, **{"max_length": 128, "mask_model": None, "offline": True, **options})


def test_every_model_has_its_own_depth_and_room(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(models)
    both = found("small, deep", tmp_path, PROMPTS)
    assert [(name, one.depth, one.max_length) for name, one in both.items()] == [("small", 3, 44), ("deep", 5, 44)]
    assert [one.checkpoint.name for one in both.values()] == ["small", "deep"]
    assert {one.max_length for one in found("small,deep", tmp_path, max_length=30).values()} == {30}


def test_words_are_masked_by_each_encoder_itself_unless_one_is_named(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models)
    own = found("small,deep", tmp_path, MASKING)
    assert [one.mask_model for one in own.values()] == [one.checkpoint for one in own.values()]
    named = found("small,deep", tmp_path, MASKING, mask_model="deep")
    assert [one.mask_model for one in named.values()] == [own["deep"].checkpoint] * 2
    assert {one.mask_model for one in found("small,deep", tmp_path, mask_model="deep").values()} == {None}


def test_a_folder_whose_name_has_a_comma_is_one_model(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "small", tmp_path / "a,b")
    assert list(found(str(tmp_path / "a,b"), tmp_path)) == ["a,b"]


@pytest.mark.parametrize(
    ("named", "error", "part"),
    [
        ("small,,deep", UsageError, "--model 'small,,deep': entry 2 is empty"),
        ("", UsageError, "--model '': entry 1 is empty"),
        ("small, ", UsageError, "entry 2 is empty"),
        ("small,deep,small", UsageError, "'small' has the very weights of 'small'; name each model once"),
        ("small,again/small", UsageError, "'again/small' has the very weights of 'small'"),
        ("small,gone", ModelError, "--model 'gone': no such folder"),
        ("small,no/where", FetchError, "no/where"),
    ],
)
def test_an_entry_that_is_wrong_is_named(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, error: type[Exception], part: str
) -> None:
    monkeypatch.chdir(models)
    with pytest.raises(error) as caught:
        found(named, tmp_path)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["sentence-transformers/all-MiniLM-L6-v2"], ["all-MiniLM-L6-v2"]),
        (["BAAI/bge-small", "thenlper/gte-small"], ["bge-small", "gte-small"]),
        (["one/small", "other/small", "one/big"], ["one/small", "other/small", "one/big"]),
        (["/a/models/one", "/b/models/one"], ["a/models/one", "b/models/one"]),
        (["/models/one", "/x/models/one"], ["//models/one", "x/models/one"]),
        (["own/one", "/models/own/one"], ["own/one", "models/own/one"]),
    ],
)
def test_short_names_are_as_short_as_they_can_be_and_tell_models_apart(names: list[str], short: list[str]) -> None:
    kinds = [LOCAL if name.startswith("/") else "Hub" for name in names]
    checkpoints = [Checkpoint(name, Path(name), name, kind) for name, kind in zip(names, kinds, strict=True)]
    assert short_names(checkpoints) == short


def test_a_search_over_one_model_is_known_by_it_alone_wherever_it_lies(prepared: Callable[..., Prepared]) -> None:
    one = prepared("small")
    data = f"{one.splits.fingerprint} 64 tokens, seed 0, by accuracy"
    assert one.identity == {
        "task": hashlib.sha256(data.encode()).hexdigest(),
        "model": one.backbones["small"].checkpoint.sha256,
        "search space": one.space.written.digest,
    }
    assert prepared("again/small").identity == one.identity
    assert one.space.recipes()[0].keys() == {"learning_rate", "num_train_epochs", "frozen_layers", "augmentation"}


def test_a_search_over_several_models_is_known_by_all_of_them(prepared: Callable[..., Prepared]) -> None:
    both = prepared("small,deep")
    assert both.models == ["small", "deep"]
    others = [prepared(model).identity["model"] for model in ("small", "deep,small", "small,third")]
    assert both.identity["model"] not in others, "in this order, too: the choice between arms has it"
    assert both.identity["model"] == prepared("small,deep").identity["model"]
    assert {name: both.identity[name] for name in both.identity if name != "model"} == {
        "task": hashlib.sha256(f"{both.splits.fingerprint} 64 tokens, seed 0, by accuracy".encode()).hexdigest(),
        "search space": both.space.written.digest,
    }
    assert both.backbone_of({"arm": "deep"}).depth == 5
    assert prepared("small,deep", max_length=30).identity["model"] != both.identity["model"]


def test_a_technique_that_so_few_rows_are_not_enough_for_is_left_out_and_that_is_told(
    prepared: Callable[..., Prepared], tmp_path: Path
) -> None:
    flat = "{learning_rate: {type: float, low: 1.0e-3, high: 5.0e-3}}"
    space = tmp_path / "techniques.yaml"
    space.write_text(
        "name: x\ntechniques:\n  few: {params: {technique: features}}\n"
        f"  many: {{min_rows: 5000, params: {flat}}}\n  any: {{min_rows: 1, params: {flat}}}\n"
    )
    found = prepared("small", search_space=str(space))
    assert [arm.name for arm in found.space.arms] == ["few", "any"]
    assert found.left_out == ("many is not tried: it is for 5000 labelled rows and more",)
    assert "  many is not tried: it is for 5000 labelled rows and more" in plan_text(found).splitlines()


def test_the_plan_tells_what_rows_are_compared_on_and_which_stay_together(
    prepared: Callable[..., Prepared], tmp_path: Path
) -> None:
    assert "Compared  5-fold cross-validation over all 48 labelled rows" in plan_text(prepared("small")).splitlines()
    people = [{**row, "author": f"{number // 2}" if number < 40 else ""} for number, row in enumerate(make_rows(60))]
    grouped = prepared("small", task=str(write_csv(tmp_path / "people.csv", people)), group_column="author")
    sizes = Counter(grouped.splits.labelled.groups.tolist()).values()
    together, alone = sum(size == 2 for size in sizes), sum(size == 1 for size in sizes)
    assert 2 * together + alone == len(grouped.splits.labelled)
    (line,) = (line for line in plan_text(grouped).splitlines() if line.startswith("Compared"))
    assert line.endswith(f"; rows of one 'author' stay together: {together} groups, and {alone} rows by themselves")


@pytest.mark.parametrize(("target", "metric"), [(85.0, "accuracy"), (0.0, "macro_f1"), (-1.0, "matthews")])
def test_a_target_that_cannot_be_met_or_is_met_by_anything_is_refused(
    prepared: Callable[..., Prepared], target: float, metric: str
) -> None:
    with pytest.raises(UsageError, match=rf"--target {target:g}: {metric} is between"):
        prepared("small", target=target, metric=metric)
    assert prepared("small", target=0.9, metric=metric).request.target == 0.9


def test_more_is_held_back_for_the_end_where_there_is_more_to_test(
    prepared: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds(prepared: Prepared) -> float:
        return _seconds_after_trials(prepared) - SECONDS_TO_END

    one, test = prepared("small"), prepared("small").splits.test
    more = replace(one, splits=replace(one.splits, test=test.joined(one.splits.labelled)))
    assert seconds(more) == pytest.approx(len(more.splits.test) / len(test) * seconds(one), rel=0.1)
    assert seconds(prepared("small", keep_original=True, folds=5)) == pytest.approx(6 * seconds(one))
    monkeypatch.setattr(Backbone, "weights_bytes", 10**9)
    assert seconds(prepared("small,deep")) == pytest.approx(2 * seconds(prepared("small"))), "both are baselines"


@pytest.mark.parametrize(
    ("own", "asked", "used"),
    [
        (None, None, "accuracy"),
        ("matthews", None, "matthews"),
        ("matthews", "macro_f1", "macro_f1"),
    ],
)
def test_the_metric_is_what_was_asked_for_or_the_tasks_own(
    prepared: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch, own: str | None, asked: str | None, used: str
) -> None:
    load = sources.load
    monkeypatch.setattr(sources, "load", lambda *args, **options: replace(load(*args, **options), metric=own))
    assert prepared("small", metric=asked).kind.metric == used
