"""Whatever a model was trained with, what is written loads again: plain transformers, and peft for a prefix alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertTokenizer,
    GPT2Tokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
)

from automl.export.model import write_model
from automl.models import adapters, virtual_tokens
from automl.models.checkpoint import quiet_transformers
from automl.params import Params
from tests.models.architectures import tiny

quiet_transformers()
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "good", "bad", "film", "a", "the", "was", "g", "b", "f"]
LONGEST = 9
TEXTS = ["good film", "the film was bad", "a bad", "was good a good film the good film"]


def word_tokenizer() -> Any:
    """[CLS] text [SEP], as tests/tiny.py has it."""
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>"
    )


def bert_tokenizer() -> Any:
    names = {
        "cls_token": "<s>",
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    return BertTokenizer(vocab={word: index for index, word in enumerate(WORDS)}, **names)


def byte_pair_tokenizer(tokenizer_class: Any) -> Any:
    letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    return tokenizer_class(vocab={letter: index for index, letter in enumerate(letters)}, merges=[], pad_token="<pad>")


def roberta_tokenizer() -> Any:
    return byte_pair_tokenizer(RobertaTokenizer)


def gpt2_tokenizer() -> Any:
    return byte_pair_tokenizer(GPT2Tokenizer)


PLAIN = {
    ("bert", "lora"): bert_tokenizer,
    ("gpt2", "ia3"): gpt2_tokenizer,
    ("roberta", "bitfit"): roberta_tokenizer,
    ("bert", "prompt_tuning"): bert_tokenizer,
    ("roberta", "prompt_tuning"): roberta_tokenizer,
    ("electra", "prompt_tuning"): word_tokenizer,
    ("gpt2", "prompt_tuning"): gpt2_tokenizer,
}
PREFIX = {"bert": bert_tokenizer, "roberta": roberta_tokenizer, "electra": word_tokenizer, "gpt2": gpt2_tokenizer}


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = model(**batch).logits
    return result


def write_trained(name: str, technique: str, tokenizer: Any, folder: Path, model: Any = None) -> torch.Tensor:
    """Export a model whose trained parts have other values than at first, and give the logits that it had on TEXTS."""
    tokenizer.model_max_length = LONGEST
    rows = len(tokenizer) + (8 if name == "electra" else 0)  # some tables have rows for no token
    model = (model or tiny(name, vocab_size=rows, pad_token_id=tokenizer.pad_token_id)).eval()
    params = Params(technique=technique, lora_r=2, num_virtual_tokens=5)
    adapters.attach(model, params, text_start=virtual_tokens.text_start(tokenizer))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    before = logits(model, tokenizer(TEXTS, truncation=True, padding=True, return_tensors="pt"))
    write_model(model, tokenizer, folder)
    return before


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # peft asks for what has a new name
@pytest.mark.parametrize("name", PREFIX)
def test_peft_loads_an_exported_prefix(name: str, tmp_path: Path) -> None:
    from peft import PeftModel

    before = write_trained(name, "prefix_tuning", PREFIX[name](), tmp_path)
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    model = PeftModel.from_pretrained(base, tmp_path).eval()
    batch = AutoTokenizer.from_pretrained(tmp_path)(TEXTS, truncation=True, padding=True, return_tensors="pt")
    torch.testing.assert_close(logits(model, batch), before, rtol=1e-4, atol=1e-5)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"


def test_the_tokenizer_of_a_prompt_reads_as_much_text_as_before(tmp_path: Path) -> None:
    tokenizer = bert_tokenizer()
    tokenizer.model_max_length = LONGEST
    model = adapters.attach(tiny("bert"), Params(technique="prompt_tuning", num_virtual_tokens=5), text_start=1)
    tokenizer("good", padding="max_length", max_length=20, truncation=True)  # which the tokenizer remembers
    write_model(model, tokenizer, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    words = " ".join(TEXTS).split()
    ids = tokenizer(" ".join(words), truncation=True)["input_ids"]
    prompt = [f"<|prompt_{number}|>" for number in range(5)]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", *prompt, *words[: LONGEST - 2], "</s>"]
    assert tokenizer.decode(ids, skip_special_tokens=True).split() == words[: LONGEST - 2]
    pair = tokenizer("good", "bad")
    assert tokenizer.convert_ids_to_tokens(pair["input_ids"]) == ["<s>", *prompt, "good", "</s>", "bad", "</s>"]
    assert pair["token_type_ids"] == [0] * 8 + [1] * 2


def test_a_model_with_a_prompt_can_be_given_another_one(tmp_path: Path) -> None:
    write_trained("bert", "prompt_tuning", bert_tokenizer(), tmp_path / "first")
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "first")
    first = AutoTokenizer.from_pretrained(tmp_path / "first")
    before = write_trained("bert", "prompt_tuning", first, tmp_path / "second", base)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "second")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "second")
    batch = tokenizer(TEXTS, truncation=True, padding=True, return_tensors="pt")
    assert batch["input_ids"].shape[1] == 5 + LONGEST
    torch.testing.assert_close(logits(model, batch), before, rtol=1e-4, atol=1e-5)


LOADER = """
import sys
sys.modules["peft"] = None  # what cannot be imported
from transformers import pipeline
from transformers.utils import is_peft_available
from safetensors.torch import save_file
import torch, json
assert not is_peft_available()
for folder in sys.argv[2:]:
    classify = pipeline("text-classification", folder, device="cpu")
    batch = classify.tokenizer(json.loads(sys.argv[1]), truncation=True, padding=True, return_tensors="pt")
    with torch.inference_mode():
        save_file({"logits": classify.model(**batch).logits}, folder + "/logits.safetensors")
"""


@pytest.mark.slow
def test_plain_transformers_loads_an_exported_folder_where_there_is_no_peft(tmp_path: Path) -> None:
    before = {}
    for (name, technique), make_tokenizer in PLAIN.items():
        folder = tmp_path / f"{name}-{technique}"
        before[folder] = write_trained(name, technique, make_tokenizer(), folder)
    subprocess.run([sys.executable, "-c", LOADER, json.dumps(TEXTS), *map(str, before)], check=True)
    for folder, expected in before.items():
        loaded = load_file(folder / "logits.safetensors")["logits"]
        torch.testing.assert_close(loaded, expected, rtol=1e-4, atol=1e-5)
