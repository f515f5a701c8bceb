"""An encoder as a masked language model: loaded, trimmed to the tokens that occur, asked, written back."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.errors import ModelError
from automl.models import vocabulary
from automl.models.checkpoint import ENCODER_FILES, Checkpoint, quiet_transformers
from automl.models.layers import head_parameters

if TYPE_CHECKING:
    import torch

MASKED = 0.15  # share of the ordinary tokens that are asked about
HIDDEN, REPLACED = 0.8, 0.1  # of those: shown as the mask token, as a random token; the rest are shown as they are


def load_masked_lm(checkpoint: Checkpoint) -> tuple[Any, bool]:
    """The checkpoint as a masked language model in float32, and whether its head was trained too (else it is random).

    Raises:
        ModelError: models of this architecture are not masked language models.
    """
    import transformers

    quiet_transformers()
    settings: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    config = transformers.AutoConfig.from_pretrained(checkpoint.folder, **settings)
    if type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING or config.is_encoder_decoder:
        raise ModelError(
            f"--model {checkpoint.name!r}: {config.model_type} models have no masked language model, which learning "
            "from plain text needs; leave it out (starting_weights: pretrained), or use a BERT-like encoder"
        )
    model, report = transformers.AutoModelForMaskedLM.from_pretrained(
        checkpoint.folder, use_safetensors=True, dtype="float32", output_loading_info=True, **settings
    )
    return model, not any(not name.startswith(f"{model.base_model_prefix}.") for name in report["missing_keys"])


def trim(model: Any, used: np.ndarray) -> None:
    """Shrink the word embeddings and the head to the tokens in `used`, in place: the softmax is over those alone."""
    import torch

    tokens = len(model.get_input_embeddings().weight)
    vocabulary.trim(model, used)
    table = model.get_input_embeddings().weight
    trimmed = {table: table}  # a tied decoder has it by now
    encoder, rows = set(model.base_model.modules()), torch.from_numpy(used)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if module in encoder or parameter.shape[0] != tokens:
                continue
            if parameter not in trimmed:
                trimmed[parameter] = torch.nn.Parameter(parameter.detach()[rows].clone())
            setattr(module, name, trimmed[parameter])
            if isinstance(module, torch.nn.Linear):
                module.out_features = len(used)


def start_from_frequencies(model: Any, counts: np.ndarray) -> None:
    """Let a new head begin by guessing each token as often as it occurs: its bias is the logarithm of that.

    Args:
        counts: [used] occurrences of each token that the trimmed model knows.
    """
    import torch

    shares = torch.from_numpy((counts + 1) / (counts + 1).sum())
    with torch.no_grad():
        for parameter in head_parameters(model):
            if parameter.shape == shares.shape:
                parameter.copy_(shares.log())


def mask(
    tokens: np.ndarray, ordinary: np.ndarray, replacements: np.ndarray, mask_token_id: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose 15 % of a batch's ordinary tokens: 80 % of them become the mask token, 10 % a random one, 10 % stay.

    Args:
        tokens: [batch, seq] ids; they are not changed.
        ordinary: [batch, seq] bool, false for special tokens and padding, which are never chosen. At least one is true.
        replacements: ids that random tokens are drawn from.

    Returns: [batch, seq] ids with the chosen ones altered; [chosen] sorted positions in the flattened batch.

    Source: Devlin et al. (2019), BERT; drawn anew for every batch as in Liu et al. (2019), RoBERTa.
    """
    candidates = np.flatnonzero(ordinary)
    chosen = rng.permutation(candidates)[: max(1, round(MASKED * len(candidates)))]
    hidden = round(HIDDEN * len(chosen))
    replaced = round((HIDDEN + REPLACED) * len(chosen))
    shown = tokens.copy()
    shown.flat[chosen[:hidden]] = mask_token_id
    shown.flat[chosen[hidden:replaced]] = rng.choice(replacements, replaced - hidden)
    return shown, np.sort(chosen)


def logits_at(model: Any, features: Mapping[str, torch.Tensor], positions: torch.Tensor) -> torch.Tensor:
    """Logits over the vocabulary at some positions only, [chosen, vocabulary].

    The head sees just those hidden states, whatever modules it is made of: most of its work would be thrown away.

    Args:
        features: what the model takes, each [batch, seq].
        positions: [chosen] in the flattened batch.
    """

    def select(module: Any, arguments: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[positions].unsqueeze(0)  # [1, chosen, width]
        return output

    handle = model.base_model.register_forward_hook(select)
    try:
        logits: torch.Tensor = model(**features).logits  # [1, chosen, vocabulary]
    finally:
        handle.remove()
    return logits[0]


def save_encoder(model: Any, used: np.ndarray, checkpoint: Checkpoint, folder: Path) -> None:
    """Write the checkpoint to a new `folder`, with the encoder weights of a masked language model in place of its own.

    Tokens outside `used` keep their embeddings, and what the masked language model lacks (a pooler, a head) stays.
    A masked-language head that the checkpoint had is written as it is now; a new one is not.

    Args:
        model: trimmed to `used`.
    """
    import transformers
    from safetensors import safe_open
    from safetensors.torch import save

    original, report = transformers.AutoModel.from_pretrained(
        checkpoint.folder,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        dtype="float32",
        output_loading_info=True,
    )
    weights = {name: value for name, value in original.state_dict().items() if name not in report["missing_keys"]}
    head = {name: value.cpu() for name, value in model.state_dict().items()}
    trained = model.base_model.state_dict()
    table = next(name for name, value in original.named_parameters() if value is original.get_input_embeddings().weight)
    trained[table] = vocabulary.restore(weights[table], trained[table].cpu(), used)
    weights |= {name: value for name, value in trained.items() if name in weights}

    # With the encoder's own prefix, as a pooler or head beside it asks for.
    tensors = {f"{model.base_model_prefix}.{name}": value.cpu().contiguous() for name, value in weights.items()}
    for path in sorted(checkpoint.folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in set(file.keys()) & set(report["unexpected_keys"]):  # what stands above the encoder
                tensors[name] = file.get_tensor(name)
                if name in head:  # ModernBERT's classifier builds on it
                    whole = head[name].shape == tensors[name].shape
                    tensors[name] = head[name] if whole else vocabulary.restore(tensors[name], head[name], used)

    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    for pattern in (*ENCODER_FILES, "added_tokens.json", "*.model"):
        for path in checkpoint.folder.glob(pattern):
            if ".safetensors" not in path.name:
                shutil.copyfile(path, folder / path.name)
