"""Data sets on the Hub: which files to fetch, and their tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from automl.errors import TaskError
from automl.fetch import hub
from automl.fetch.miss import Miss
from automl.records import Table
from automl.tasks import arrow_sets
from automl.tasks.split_roles import by_role

CARD = "README.md"
SUFFIXES = ("parquet", "arrow", "csv", "tsv", "json", "jsonl")
DATA_FILES = [f"*.{suffix}{packing}" for suffix in SUFFIXES for packing in ("", ".gz", ".zst", ".xz", ".bz2")]


@dataclass(frozen=True)
class Found:
    """What a repository gave: tables by role, where exactly they come from, and the licence that its card names."""

    splits: dict[str, Table]
    source: str
    licence: str | None


def load(repo_id: str, config: str | None, *, offline: bool) -> Found:
    """Tables by role of a data set on the Hub or in the Hugging Face cache.

    Raises:
        Miss: neither has it.
        TaskError: the repository has several configurations and none, or an unknown one, was named.
        DataError: its files cannot be read without running its code, or have no train split.
    """
    card = _card(repo_id, offline)
    config, patterns = _choose(repo_id, config, card)
    folder = hub.snapshot(repo_id, repo_type="dataset", allow_patterns=patterns, offline=offline)
    name = f"{repo_id}:{config}" if config else repo_id
    splits = by_role(arrow_sets.read_repository(folder, config, f"Hub data set {name}"), name)
    licence = card.get("license")
    stated = ", ".join(map(str, licence)) if isinstance(licence, list) else licence and str(licence)
    return Found(splits, f"Hub data set {name}, commit {folder.name}", stated)


def _card(repo_id: str, offline: bool) -> dict[str, Any]:
    """The YAML header of a repository's card; empty where there is none, or none that can be read."""
    import yaml

    try:
        folder = hub.snapshot(repo_id, repo_type="dataset", allow_patterns=[CARD], offline=offline)
        _, header, _ = (folder / CARD).read_text(encoding="utf-8").split("---", 2)
        card = yaml.safe_load(header)
    except Miss as miss:
        if miss.outcome not in ("offline", "unreachable"):
            raise
        return {}  # the cache may hold its data files all the same
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return card if isinstance(card, dict) else {}


def _choose(repo_id: str, config: str | None, card: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The configuration to load and the patterns of its files, so that those of the others are not fetched."""
    listed = card.get("configs") or []
    configs = {str(one["config_name"]): one for one in listed if isinstance(one, dict) and "config_name" in one}
    if not configs:
        return config, DATA_FILES
    defaults = [name for name, one in configs.items() if one.get("default") or name == "default"]
    if config is None and not defaults and len(configs) > 1:
        raise TaskError(f"{repo_id}: has several configurations; give one as {repo_id}:CONFIG: {_listed(configs)}")
    chosen = config or (defaults or list(configs))[0]
    if chosen not in configs:
        raise TaskError(f"{repo_id}: has no configuration {chosen!r}; give {repo_id}:CONFIG with {_listed(configs)}")
    folder = str(configs[chosen].get("data_dir") or "").strip("./")
    paths = _paths(configs[chosen].get("data_files")) or DATA_FILES
    paths = [f"{folder}/{path}" if folder else path for path in paths]
    # `**/` may also stand for no folder at all, which a plain shell pattern does not say.
    return chosen, [form for path in paths for form in dict.fromkeys((path, path.replace("**/", "")))]


def _listed(names: Iterable[str]) -> str:
    return " or ".join(list(names)[:20])


def _paths(data_files: Any) -> list[str]:
    """Every pattern in a card's `data_files`: a string, a list of them, or a list of {split, path}."""
    if isinstance(data_files, str):
        return [data_files.removeprefix("./")]
    if isinstance(data_files, dict):
        return _paths(data_files.get("path", list(data_files.values())))
    return [path for one in data_files or [] for path in _paths(one)]
