"""Augmentations that use a model: masked words and back-translation, with tiny models made here."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from automl.data.augment import Resources, make_copies
from automl.data.augment.back_translation import MAX_LENGTH, back_translate
from automl.data.augment.masked_words import replace_masked
from automl.errors import ModelError, UsageError
from automl.models.checkpoint import load_tokenizer, quiet_transformers, resolve
from tests.tiny import FILLER, GOOD, make_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHINESE = "这部电影很好看有意思故事"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model that expects one of GOOD everywhere, and of those `good` most of all."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = make_model(tmp_path_factory.mktemp("bert"))
    tokenizer = load_tokenizer(resolve(str(folder)))
    model = BertForMaskedLM(BertConfig.from_pretrained(folder))
    likely = {"good": 500.0, "[SEP]": 400.0, "great": 50.0, "fine": 50.0, "lovely": 50.0, "warm": 50.0}
    with torch.no_grad():
        for word, value in likely.items():
            model.cls.predictions.bias[tokenizer.convert_tokens_to_ids(word)] += value
    model.save_pretrained(folder)
    return folder


def test_masked_words_are_filled_with_what_the_model_expects(bert: Path, tmp_path: Path) -> None:
    texts = ["The  film, was (a) story!\n" + "the plot and music " * 5, "good", "", "!?", "zebra 12", "film " * 200]
    resources = Resources(mask_model=resolve(str(bert)))
    copies = make_copies(texts, "masked_words", 1, 0, resources, tmp_path)[0]
    assert copies == make_copies(texts, "masked_words", 1, 0, resources, tmp_path / "again")[0]
    old, new = texts[0].split(), copies[0].split()
    changed = [other for one, other in zip(old, new, strict=True) if one != other]
    assert [word.strip("(,)!").lower() for word in changed] == ["good"] * 4  # 15 % of 25 words
    assert copies[1] in {"great", "fine", "lovely", "warm"}  # the word itself is no proposal
    assert copies[2:4] == texts[2:4]
    assert copies[4] == "good 12"
    assert 0 < Counter(copies[5].split())["good"] < 20  # what the model cannot see stays
    assert len(copies[5].split()) == 200


def test_the_mask_in_a_text_does_no_harm(bert: Path, tmp_path: Path) -> None:
    text = "the [MASK] was a story"
    assert make_copies([text], "masked_words", 1, 0, Resources(resolve(str(bert))), tmp_path) == [[text]]


def test_proposals_are_drawn_from_the_likeliest(bert: Path, tmp_path: Path) -> None:
    copies = make_copies(["good"] * 200, "masked_words", 1, 0, Resources(resolve(str(bert))), tmp_path)[0]
    assert set(copies) == {"great", "fine", "lovely", "warm"}


def test_an_untrained_head_or_no_mask_is_refused(tmp_path: Path) -> None:
    encoder_only = resolve(str(make_model(tmp_path / "encoder")))
    with pytest.raises(ModelError, match=r"masked_words: .* lacks a trained head"):
        make_copies(["a film"], "masked_words", 1, 0, Resources(mask_model=encoder_only), tmp_path / "cache")


def tiny_mlm(name: str, size: int) -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(
        vocab_size=size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=66,
        pad_token_id=0,
    )
    return getattr(transformers, f"{name}ForMaskedLM")(config).eval()


def fast(tokenizer: Any) -> PreTrainedTokenizerBase:
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def test_chinese_characters_are_words_to_a_chinese_model() -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {token: index for index, token in enumerate(["[PAD]", "[UNK]", "[MASK]", *CHINESE])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = [CHINESE, "👍 很好。"]
    copies = replace_masked(texts, tiny_mlm("Bert", len(vocabulary)), fast(tokenizer), rng())
    for text, copy in zip(texts, copies, strict=True):
        assert len(copy) == len(text)
        assert 1 <= sum(one != other for one, other in zip(text, copy, strict=True)) <= 2
    assert copies[1].startswith("👍 ")


def test_byte_level_tokens_replace_whole_words_only() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    texts = [" ".join(rng(seed).choice([*FILLER, *GOOD, "naïve,", "films."], size=20).tolist()) for seed in range(20)]
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["[PAD]", "[UNK]", "[MASK]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    copies = replace_masked(texts, tiny_mlm("Roberta", tokenizer.get_vocab_size()), fast(tokenizer), rng())
    changed = 0
    for text, copy in zip(texts, copies, strict=True):
        pairs = [pair for pair in zip(text.split(), copy.split(), strict=True) if pair[0] != pair[1]]
        assert len(pairs) <= 3
        assert all(old.strip(",.") != new.strip(",.") and (old[-1] in ",.") == (new[-1] in ",.") for old, new in pairs)
        assert all(len(tokenizer.encode(new.strip(",.")).ids) == 1 for _, new in pairs)
        changed += len(pairs)
    assert changed > 15


# Back-translation


@pytest.fixture(scope="module")
def translators(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two untrained MarianMT models with tokenizers trained on a few words."""
    return make_marian(tmp_path_factory.mktemp("there"), 1), make_marian(tmp_path_factory.mktemp("back"), 2)


def make_marian(folder: Path, seed: int) -> Path:
    sentencepiece = pytest.importorskip("sentencepiece")
    pytest.importorskip("sacremoses")
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    quiet_transformers()
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join([*FILLER, *GOOD, "."])]),
        model_writer=written,
        model_type="word",
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
    )
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(written.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    words = ["</s>", "<unk>", *(pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size())), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    paths = {name: str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")}
    tokenizer = MarianTokenizer(paths["source.spm"], paths["target.spm"], paths["vocab.json"])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    padding = len(words) - 1
    config = MarianConfig(
        vocab_size=len(words),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=512,
        pad_token_id=padding,
        eos_token_id=0,
        decoder_start_token_id=padding,
        forced_eos_token_id=None,
        init_std=1.0,
    )
    MarianMTModel(config).save_pretrained(folder)
    return folder


def loaded(folder: Path, likely: str | None = None) -> tuple[Any, Any]:
    """Model and tokenizer; with `likely` the model says nothing else."""
    from transformers import MarianMTModel

    model, tokenizer = MarianMTModel.from_pretrained(folder).eval(), load_tokenizer(resolve(str(folder)))
    if likely is not None:
        model.final_logits_bias[0, tokenizer.convert_tokens_to_ids(likely)] = 1e4
    return model, tokenizer


def test_texts_are_translated_there_and_back(translators: tuple[Path, Path], tmp_path: Path) -> None:
    texts = ["the film was good", "a story . the plot\nwas fine", "", "the film was good"]
    there, back = (resolve(str(folder)) for folder in translators)
    resources = Resources(translators=(there, back))
    copies = make_copies(texts, "back_translation", 2, 0, resources, tmp_path)
    assert copies == make_copies(texts, "back_translation", 2, 0, resources, tmp_path / "again")
    assert copies[0] != copies[1]
    assert all(copy.strip() and copy != text for copy, text in zip(copies[0], texts, strict=True) if text)
    assert copies[0][2] == ""
    assert copies[0][1].count("\n") == 1
    assert copies[0][0] == copies[0][3]
    make_copies(texts, "back_translation", 1, 0, Resources(translators=(back, there)), tmp_path)
    assert len(list(tmp_path.glob("*.jsonl"))) == 3  # other models, other copies


def test_the_second_model_speaks_last_and_stops(translators: tuple[Path, Path]) -> None:
    (copy,) = back_translate(["the film"], loaded(translators[0]), loaded(translators[1], "▁the"), rng())
    assert set(copy.split()) == {"the"}
    assert len(copy.split()) < 100


@pytest.mark.parametrize("silent", [0, 1])
def test_a_sentence_that_comes_back_empty_stays(translators: tuple[Path, Path], silent: int) -> None:
    pair = [loaded(folder, "</s>" if index == silent else None) for index, folder in enumerate(translators)]
    assert back_translate(["the film . a plot"], *pair, rng()) == ["the film . a plot"]


def test_a_sentence_too_long_stays_and_others_are_translated(translators: tuple[Path, Path]) -> None:
    long = "film " * MAX_LENGTH + "."
    (copy,) = back_translate([f"{long} the plot ."], loaded(translators[0]), loaded(translators[1]), rng())
    assert copy.startswith(long + " ")
    assert not copy.endswith("the plot .")


def test_the_global_generator_is_left_alone(translators: tuple[Path, Path]) -> None:
    import torch

    there, back = loaded(translators[0]), loaded(translators[1])
    before = torch.random.get_rng_state()
    back_translate(["the film"], there, back, rng())
    assert torch.equal(before, torch.random.get_rng_state())


def test_another_kind_of_model_is_refused(bert: Path, tmp_path: Path) -> None:
    wrong = Resources(translators=(resolve(str(bert)), resolve(str(bert))))
    with pytest.raises(ModelError, match=r"back_translation: .* is no translation model"):
        make_copies(["a film"], "back_translation", 1, 0, wrong, tmp_path)


def test_without_sentencepiece_the_extra_is_named(
    translators: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    both = Resources(translators=(resolve(str(translators[0])), resolve(str(translators[1]))))
    with pytest.raises(UsageError, match=r"needs sentencepiece; pip install 'automl-search\[augment\]'"):
        make_copies(["a film"], "back_translation", 1, 0, both, tmp_path)
