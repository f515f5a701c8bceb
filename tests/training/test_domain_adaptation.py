"""Learning from the task's own plain text: perplexity falls, the folder loads, and nothing is done twice."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from automl.errors import DataError, ModelError
from automl.models import checkpoint, masked_lm
from automl.params import Params
from automl.records import Encoded
from automl.training import domain_adaptation, pretraining
from automl.training.domain_adaptation import DomainAdaptation, adapt
from tests.models.architectures import PADDING
from tests.models.test_masked_lm import USED, WITH_MASKED_LM, masked_model
from tests.tiny import FILLER, make_model, make_rows

TEXTS = [row["text"] for row in make_rows(80)]
BUDGET = 2_000


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    return checkpoint.resolve(str(make_model(tmp_path_factory.mktemp("model"), extra_words=20)))


@pytest.fixture(scope="module")
def adapted(
    found: checkpoint.Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DomainAdaptation, list[tuple[int, int]]]:
    seen: list[tuple[int, int]] = []
    folder = tmp_path_factory.mktemp("out") / "study" / "adapted"
    return adapt(found, TEXTS, folder, token_budget=BUDGET, progress=lambda *step: seen.append(step)), seen


def copied(adapted: DomainAdaptation, to: Path) -> Path:
    """The fixture's folder and record at another place, for a test that breaks them."""
    shutil.copytree(adapted.folder, to / "adapted")
    shutil.copyfile(adapted.folder.with_name("adapted.json"), to / "adapted.json")
    return to / "adapted"


def again(found: checkpoint.Checkpoint, folder: Path, texts: list[str] = TEXTS, seed: int = 0) -> list[int]:
    """Steps that a call with the fixture's inputs takes."""
    steps: list[int] = []
    adapt(found, texts, folder, seed=seed, token_budget=BUDGET, progress=lambda done, _: steps.append(done))
    return steps


def test_perplexity_on_held_out_texts_falls_and_is_reported(
    adapted: tuple[DomainAdaptation, list[tuple[int, int]]],
) -> None:
    result, steps = adapted
    assert result.kept
    assert result.perplexity_after < result.perplexity_before < result.vocabulary
    assert result.new_head
    assert result.texts == 80
    assert result.tokens == sum(len(text.split()) + 2 for text in TEXTS)
    assert result.vocabulary == 5 + 10 + len(FILLER)
    assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]
    assert len(steps) == result.steps + round(domain_adaptation.HEAD_SHARE * result.steps)
    assert f"{result.perplexity_before:.4g} before, {result.perplexity_after:.4g} after" in str(result)


def test_structure_is_learned_from_the_context(found: checkpoint.Checkpoint) -> None:
    """The words are equally frequent: only what stands beside a hidden one can tell it."""
    corpus = pretraining.read_corpus(found, [" ".join([word] * count) for word in FILLER for count in range(4, 14)], 64)
    train, held_out = np.split(np.random.default_rng(0).permutation(120), [100])
    torch.manual_seed(0)
    model, _ = masked_lm.load_masked_lm(found)
    masked_lm.trim(model, corpus.used)
    masked_lm.start_from_frequencies(model, corpus.counts(train))
    recipe = Params(learning_rate=5e-3)
    before = pretraining.perplexity(model, corpus, held_out, 0, "float32")
    for _ in pretraining.train(model, corpus, train, 150, recipe, np.random.default_rng(0), "float32"):
        pass
    after = pretraining.perplexity(model, corpus, held_out, 0, "float32")
    assert before > 10
    assert after < 3


def test_the_folder_loads_for_classification_and_differs_in_the_encoders_weights_only(
    found: checkpoint.Checkpoint, adapted: tuple[DomainAdaptation, list[tuple[int, int]]]
) -> None:
    folder = adapted[0].folder
    again = checkpoint.resolve(str(folder))
    assert again.sha256 != found.sha256
    names = {path.name for path in found.folder.iterdir()}
    assert {path.name for path in folder.iterdir()} == names
    for name in names - {"model.safetensors"}:
        assert (folder / name).read_bytes() == (found.folder / name).read_bytes()
    before, _ = checkpoint.load(found, "AutoModelForSequenceClassification", ["a", "b"])
    after, new = checkpoint.load(again, "AutoModelForSequenceClassification", ["a", "b"])
    assert new == ["classifier.bias", "classifier.weight"]
    theirs = after.base_model.state_dict()
    for name, value in before.base_model.state_dict().items():
        same = torch.equal(theirs[name], value)
        assert same == name.startswith("pooler"), name


def test_embeddings_of_tokens_that_do_not_occur_are_unchanged(
    found: checkpoint.Checkpoint, adapted: tuple[DomainAdaptation, list[tuple[int, int]]]
) -> None:
    table = "embeddings.word_embeddings.weight"
    before = load_file(found.folder / "model.safetensors")[table]
    after = load_file(adapted[0].folder / "model.safetensors")[f"bert.{table}"]
    changed = (before != after).any(dim=1).numpy()
    occurs = {word for text in TEXTS for word in text.split()}
    words = checkpoint.load_tokenizer(found).get_vocab()
    assert after.shape == before.shape
    assert {word for word, index in words.items() if changed[index]} >= occurs
    assert not any(changed[index] for word, index in words.items() if word.startswith("word"))


def test_equal_seeds_give_equal_weights(found: checkpoint.Checkpoint, tmp_path: Path) -> None:
    one, same, other = (
        adapt(found, TEXTS, tmp_path / name, seed=seed, token_budget=500)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert one.perplexity_after == same.perplexity_after != other.perplexity_after
    assert (one.folder / "model.safetensors").read_bytes() == (same.folder / "model.safetensors").read_bytes()


def test_the_same_call_again_reads_the_record(
    found: checkpoint.Checkpoint, adapted: tuple[DomainAdaptation, list[tuple[int, int]]], tmp_path: Path
) -> None:
    folder = copied(adapted[0], tmp_path)
    assert adapt(found, TEXTS, folder, token_budget=BUDGET) == dataclasses.replace(adapted[0], folder=folder)
    assert not again(found, folder)


@pytest.mark.parametrize("break_it", ["weights", "missing file", "no record", "half a record", "other texts", "seed"])
def test_what_does_not_fit_is_made_again(
    break_it: str,
    found: checkpoint.Checkpoint,
    adapted: tuple[DomainAdaptation, list[tuple[int, int]]],
    tmp_path: Path,
) -> None:
    folder = copied(adapted[0], tmp_path)
    record = tmp_path / "adapted.json"
    if break_it == "weights":
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "model.safetensors").write_bytes(content)
    elif break_it == "missing file":
        (folder / "tokenizer.json").unlink()
    elif break_it == "no record":
        record.unlink()
    elif break_it == "half a record":
        record.write_text(record.read_text()[:100])
    texts = TEXTS[:-1] if break_it == "other texts" else TEXTS
    assert again(found, folder, texts, seed=int(break_it == "seed"))
    assert not again(found, folder, texts, seed=int(break_it == "seed"))


def test_what_an_interrupted_call_left_is_replaced(found: checkpoint.Checkpoint, tmp_path: Path) -> None:
    part = tmp_path / "adapted.part"
    part.mkdir()
    (part / "model.safetensors").write_bytes(b"half")
    (part / "stray").write_bytes(b"")
    result = adapt(found, TEXTS, tmp_path / "adapted", token_budget=BUDGET)
    assert not part.exists()
    assert not (result.folder / "stray").exists()
    checkpoint.load(checkpoint.resolve(str(result.folder)), "AutoModelForSequenceClassification", ["a", "b"])


def test_a_call_that_is_stopped_leaves_no_folder(found: checkpoint.Checkpoint, tmp_path: Path) -> None:
    def stop(done: int, steps: int) -> None:
        if done == steps - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(found, TEXTS, tmp_path / "adapted", token_budget=BUDGET, progress=stop)
    assert not list(tmp_path.iterdir())


def test_weights_are_not_kept_where_perplexity_did_not_fall(
    found: checkpoint.Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destructive = {"learning_rate": 0.1, "lr_scheduler_type": "constant_with_warmup"}
    monkeypatch.setattr(domain_adaptation, "RECIPE", domain_adaptation.RECIPE.model_copy(update=destructive))
    result = adapt(found, TEXTS, tmp_path / "adapted", token_budget=500)
    assert not result.kept
    assert result.perplexity_after >= result.perplexity_before
    assert result.folder == found.folder
    assert "the pretrained weights stay" in str(result)
    assert [path.name for path in tmp_path.iterdir()] == ["adapted.json"]
    json.loads((tmp_path / "adapted.json").read_text(), parse_constant=pytest.fail)
    assert adapt(found, TEXTS, tmp_path / "adapted", token_budget=500) == result


def test_repeated_and_empty_texts_do_not_count(found: checkpoint.Checkpoint) -> None:
    """A copy of a held-out text among the training texts would make the perplexity too good."""
    corpus = pretraining.read_corpus(found, [*TEXTS, *TEXTS[:10], "", "  "], 64)
    assert len(corpus.rows) == len(TEXTS)


def test_long_texts_are_cut_to_what_the_model_reads(found: checkpoint.Checkpoint) -> None:
    long = [f"{text} {' '.join(['film'] * 100)}" for text in TEXTS]
    assert pretraining.read_corpus(found, long, 512).rows.lengths.max() == 64
    assert pretraining.read_corpus(found, long, 16).rows.lengths.max() == 16


def test_a_frozen_encoder_stays_as_it_is_while_the_head_trains(found: checkpoint.Checkpoint) -> None:
    corpus = pretraining.read_corpus(found, TEXTS, 64)
    ends = []
    for dropout_seed in (0, 1):  # nothing is left for it to decide
        torch.manual_seed(0)
        model, _ = masked_lm.load_masked_lm(found)
        masked_lm.trim(model, corpus.used)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.base_model.requires_grad_(False)
        torch.manual_seed(dropout_seed)
        rows, rng = np.arange(80), np.random.default_rng(0)
        assert list(pretraining.train(model, corpus, rows, 7, domain_adaptation.RECIPE, rng, "float32"))[-1] == 7
        ends.append({name: value for name, value in model.state_dict().items() if not torch.equal(value, before[name])})
    assert "cls.predictions.transform.dense.weight" in ends[0]
    assert not any(name.startswith("bert.") for name in ends[0])
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_a_new_head_is_trained_before_the_encoder_moves(
    found: checkpoint.Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = 1e-5
    recipe = domain_adaptation.RECIPE.model_copy(update={"learning_rate": rate})
    monkeypatch.setattr(domain_adaptation, "RECIPE", recipe)
    result = adapt(found, TEXTS, tmp_path / "adapted", token_budget=BUDGET)
    before, after = (load_file(folder / "model.safetensors") for folder in (found.folder, result.folder))
    assert result.kept
    moved = max(float((after[f"bert.{name}"] - value).abs().max()) for name, value in before.items())
    assert 0 < moved < 1.5 * rate * result.steps < domain_adaptation.HEAD_RECIPE.learning_rate


def test_a_new_head_begins_with_the_frequencies_of_the_training_texts(
    found: checkpoint.Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained = domain_adaptation.HEAD_RECIPE.model_copy(update={"learning_rate": 1e-9})
    monkeypatch.setattr(domain_adaptation, "HEAD_RECIPE", untrained)
    result = adapt(found, TEXTS, tmp_path / "adapted", token_budget=500)
    assert result.perplexity_before < 0.8 * result.vocabulary


def test_a_new_heads_frequencies_are_those_of_the_given_rows(found: checkpoint.Checkpoint) -> None:
    corpus = pretraining.read_corpus(found, ["film film plot", *TEXTS], 64)
    words = checkpoint.load_tokenizer(found).get_vocab()
    expected = {words["film"]: 2, words["plot"]: 1}
    counts = corpus.counts(np.array([0]))
    assert {int(corpus.used[place]): int(counts[place]) for place in np.flatnonzero(counts)} == expected


@pytest.mark.parametrize("name", WITH_MASKED_LM)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_architecture_learns_and_keeps_float32_weights(name: str, precision: str) -> None:
    model = masked_model(name)
    masked_lm.trim(model, USED)
    tokens = np.tile([8, 9, 10, 11], 25)  # of all the words that it could say, only these
    rows = Encoded({"input_ids": tokens.astype(np.int32)}, np.arange(0, len(tokens) + 1, 4), np.zeros(len(tokens) // 4))
    corpus = pretraining.Corpus(rows, USED, np.arange(8), np.arange(8, len(USED)), PADDING, mask=4)
    every, rng = np.arange(len(rows)), np.random.default_rng(0)
    before = pretraining.perplexity(model, corpus, every, 0, precision)
    list(pretraining.train(model, corpus, every, 15, Params(learning_rate=1e-2), rng, precision))
    assert pretraining.perplexity(model, corpus, every, 0, precision) < 0.5 * before
    table = model.get_input_embeddings().weight.detach()
    assert not torch.equal(table, table.to(torch.bfloat16).float())


def test_too_few_texts_are_refused(found: checkpoint.Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 20 distinct texts, there are 19"):
        adapt(found, TEXTS[:19] * 2, tmp_path / "adapted")


def test_a_tokenizer_without_mask_token_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).exists():
            settings = json.loads((folder / name).read_text())
            settings.pop("mask_token", None)
            (folder / name).write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="no mask or no padding token"):
        adapt(checkpoint.resolve(str(folder)), TEXTS, tmp_path / "adapted")
