"""Masked language models of every architecture: what is hidden, the loss over that alone, the written folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from automl.errors import ModelError
from automl.models import checkpoint, masked_lm
from tests.models.architectures import ARCHITECTURES, PADDING, VOCABULARY, mask, padded, texts, tiny

WITH_MASKED_LM = [*sorted(set(ARCHITECTURES) - {"gpt2", "xlnet"}), "deberta-v3-own-head"]
USED = np.array([*range(8), *range(10, VOCABULARY, 2)])
MASK_TOKEN = 4


def masked_model(name: str) -> Any:
    """A tiny masked language model with random weights, in eval mode."""
    torch.manual_seed(0)
    kind, settings = ARCHITECTURES[name.removesuffix("-own-head")]
    options = {"vocab_size": VOCABULARY, "pad_token_id": PADDING, **settings}
    if name.endswith("-own-head"):
        options["legacy"] = False
    model = getattr(transformers, f"{kind}ForMaskedLM")(getattr(transformers, f"{kind}Config")(**options))
    with torch.no_grad():
        for parameter in set(model.parameters()):
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def saved(model: Any, folder: Path) -> checkpoint.Checkpoint:
    checkpoint.quiet_transformers()
    model.save_pretrained(folder)
    return checkpoint.resolve(str(folder))


def a_batch() -> tuple[np.ndarray, np.ndarray]:
    """Tokens [40, 30], and where they are ordinary: not at the ends, not in the padding of every other row."""
    tokens = np.random.default_rng(0).integers(10, 60, (40, 30))
    ordinary = np.ones_like(tokens, dtype=bool)
    ordinary[:, [0, -1]] = False
    ordinary[::2, 10:] = False
    return tokens, ordinary


def test_exactly_fifteen_percent_are_chosen_and_altered_eighty_to_ten_to_ten() -> None:
    tokens, ordinary = a_batch()
    replacements = np.array([70, 71])
    shown, chosen = masked_lm.mask(tokens, ordinary, replacements, MASK_TOKEN, np.random.default_rng(1))
    count = round(0.15 * ordinary.sum())
    assert len(chosen) == len(set(chosen)) == count
    assert ordinary.ravel()[chosen].all()
    at_chosen = shown.ravel()[chosen]
    assert (at_chosen == MASK_TOKEN).sum() == round(0.8 * count)
    assert np.isin(at_chosen, replacements).sum() == pytest.approx(0.1 * count, abs=1)
    assert set(replacements) == set(at_chosen[at_chosen >= 70])
    assert (at_chosen == tokens.ravel()[chosen]).sum() == pytest.approx(0.1 * count, abs=1)
    untouched = np.setdiff1d(np.arange(tokens.size), chosen)
    assert (shown.ravel()[untouched] == tokens.ravel()[untouched]).all()


def test_masks_follow_the_seed_and_are_drawn_anew() -> None:
    tokens, ordinary = a_batch()
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    first = masked_lm.mask(tokens, ordinary, np.array([70]), MASK_TOKEN, one)
    same = masked_lm.mask(tokens, ordinary, np.array([70]), MASK_TOKEN, other)
    second = masked_lm.mask(tokens, ordinary, np.array([70]), MASK_TOKEN, one)
    assert (first[0] == same[0]).all()
    assert (first[1] == same[1]).all()
    assert (first[1] != second[1]).any()


def test_a_short_text_has_one_hidden_token() -> None:
    tokens = np.array([[2, 30, 3]])
    _, chosen = masked_lm.mask(tokens, tokens > 9, np.array([70]), MASK_TOKEN, np.random.default_rng(0))
    assert chosen.tolist() == [1]


@pytest.mark.parametrize("name", WITH_MASKED_LM)
def test_loss_at_the_hidden_tokens_is_the_plain_models(name: str) -> None:
    model, rows = masked_model(name), texts(5)
    batch = padded(name, rows)
    chosen = np.flatnonzero(mask(name, [len(row) for row in rows]))[::4]
    labels = torch.full_like(batch["input_ids"], -100)
    labels.view(-1)[chosen] = batch["input_ids"].view(-1)[chosen]
    plain = model(**batch, labels=labels)
    seen: list[torch.Size] = []
    head = model.get_output_embeddings()
    handle = head.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape))
    logits = masked_lm.logits_at(model, batch, torch.from_numpy(chosen))
    handle.remove()
    torch.testing.assert_close(torch.nn.functional.cross_entropy(logits, labels.view(-1)[chosen]), plain.loss)
    assert all(shape[:2].numel() == len(chosen) for shape in seen)  # the head worked on those alone
    torch.testing.assert_close(model(**batch).logits, plain.logits)  # and the model is as before


@pytest.mark.parametrize("name", WITH_MASKED_LM)
def test_trimmed_logits_are_the_full_models_at_the_used_tokens_and_stay_tied(name: str) -> None:
    model = masked_model(name)
    rows = [USED[row % len(USED)] for row in texts(5)]
    full = model(**padded(name, rows)).logits[..., USED]
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    masked_lm.trim(model, USED)
    trimmed = model(**padded(name, [np.searchsorted(USED, row) for row in rows]))
    inside = mask(name, [len(row) for row in rows])
    torch.testing.assert_close(trimmed.logits[inside], full[inside])
    assert tied == (model.get_output_embeddings().weight is model.get_input_embeddings().weight)
    assert tied or name.endswith("own-head")


def test_trimming_to_every_token_keeps_the_decoder_tied() -> None:
    model = masked_model("bert")
    masked_lm.trim(model, np.arange(VOCABULARY))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_a_new_head_begins_with_the_frequencies() -> None:
    model = masked_model("bert")
    masked_lm.trim(model, USED)
    counts = np.arange(len(USED))
    masked_lm.start_from_frequencies(model, counts)
    shares = model.get_output_embeddings().bias.detach().exp()
    assert float(shares.sum()) == pytest.approx(1)
    assert float(shares[9] / shares[4]) == pytest.approx(2)


@pytest.mark.parametrize("name", WITH_MASKED_LM)
def test_the_written_folder_has_the_trained_encoder_and_all_else_as_it_was(name: str, tmp_path: Path) -> None:
    found = saved(masked_model(name), tmp_path / "original")
    model, trained_head = masked_lm.load_masked_lm(found)
    assert trained_head
    masked_lm.trim(model, USED)
    with torch.no_grad():
        for parameter in model.base_model.parameters():
            parameter.add_(1.0)
    masked_lm.save_encoder(model, USED, found, tmp_path / "adapted")
    adapted = checkpoint.resolve(str(tmp_path / "adapted"))
    assert adapted.sha256 != found.sha256
    before, missing_before = checkpoint.load(found, "AutoModelForSequenceClassification", ["a", "b"])
    after, missing_after = checkpoint.load(adapted, "AutoModelForSequenceClassification", ["a", "b"])
    assert missing_before == missing_after
    encoder: Any = before.base_model
    table = encoder.get_input_embeddings().weight
    unused = np.setdiff1d(np.arange(VOCABULARY), USED)
    theirs = dict(after.base_model.named_parameters())
    for key, value in encoder.named_parameters():
        if value is table:
            torch.testing.assert_close(theirs[key][USED], value[USED] + 1)
            assert torch.equal(theirs[key][unused], value[unused])
        elif not any(key in missing for missing in missing_before):
            torch.testing.assert_close(theirs[key], value + 1)


@pytest.mark.parametrize("name", WITH_MASKED_LM)
def test_a_trained_head_is_written_with_the_encoder(name: str, tmp_path: Path) -> None:
    found = saved(masked_model(name), tmp_path / "original")
    model, _ = masked_lm.load_masked_lm(found)
    masked_lm.trim(model, USED)
    with torch.no_grad():
        for parameter in set(model.parameters()):
            parameter.mul_(0.9)
    masked_lm.save_encoder(model, USED, found, tmp_path / "adapted")
    again, trained_head = masked_lm.load_masked_lm(checkpoint.resolve(str(tmp_path / "adapted")))
    assert trained_head
    rows = [USED[row % len(USED)] for row in texts(5)]
    trimmed = model.eval()(**padded(name, [np.searchsorted(USED, row) for row in rows]))
    inside = mask(name, [len(row) for row in rows])
    torch.testing.assert_close(again.eval()(**padded(name, rows)).logits[inside][:, USED], trimmed.logits[inside])


@pytest.mark.parametrize("name", ["bert", "deberta-v3"])
def test_pooler_and_classifier_of_the_checkpoint_are_kept(name: str, tmp_path: Path) -> None:
    """BERT's pooler belongs to the encoder, DeBERTa's to the head; the masked language model has neither."""
    found = saved(tiny(name), tmp_path / "original")
    model, trained_head = masked_lm.load_masked_lm(found)
    assert not trained_head
    masked_lm.trim(model, USED)
    masked_lm.save_encoder(model, USED, found, tmp_path / "adapted")
    before, after = load_file(found.folder / "model.safetensors"), load_file(tmp_path / "adapted/model.safetensors")
    assert before.keys() == after.keys()
    assert any("pooler" in key for key in before)
    assert any("classifier" in key for key in before)
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_an_encoder_saved_alone_gets_a_new_head_and_no_invented_pooler(tmp_path: Path) -> None:
    found = saved(masked_model("bert").base_model, tmp_path / "original")
    model, trained_head = masked_lm.load_masked_lm(found)
    assert not trained_head
    masked_lm.trim(model, USED)
    masked_lm.save_encoder(model, USED, found, tmp_path / "adapted")
    _, missing = checkpoint.load(checkpoint.resolve(str(tmp_path / "adapted")), "AutoModel", ["a", "b"])
    assert any(key.startswith("pooler") for key in missing)
    assert all(key.startswith("pooler") for key in missing)


def test_weights_in_several_files_and_half_precision_are_read(tmp_path: Path) -> None:
    found = saved(tiny("bert").half(), tmp_path / "original")
    tensors = load_file(found.folder / "model.safetensors")
    names = sorted(tensors)
    (found.folder / "model.safetensors").unlink()
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: tensors[key] for key in keys}, found.folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (found.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    model, _ = masked_lm.load_masked_lm(found)
    masked_lm.trim(model, USED)
    masked_lm.save_encoder(model, USED, found, tmp_path / "adapted")
    after = load_file(tmp_path / "adapted/model.safetensors")
    assert sorted(after) == names
    assert not (tmp_path / "adapted/model.safetensors.index.json").exists()
    assert all(torch.equal(value.float(), after[key].float()) for key, value in tensors.items())


@pytest.mark.parametrize("name", ["gpt2", "xlnet"])
def test_an_architecture_without_masked_language_model_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    found = saved(tiny(name), tmp_path)
    with pytest.raises(ModelError, match=f"{name} models have no masked language model") as caught:
        masked_lm.load_masked_lm(found)
    assert "starting_weights: pretrained" in str(caught.value)
    assert "\n" not in str(caught.value)
