"""Data sets in the forms of the `datasets` library, which is imported here only."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import DataError
from automl.records import Table
from automl.tasks.readers import with_label_names

if TYPE_CHECKING:
    from datasets import Dataset


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` of a Dataset or a DatasetDict wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def read_saved(folder: Path) -> dict[str, Table]:
    """Tables by split name; a lone Dataset is "train"."""
    import datasets

    with _quiet(), _as_data_error(str(folder)):
        saved = datasets.load_from_disk(str(folder))
    parts = dict(saved) if isinstance(saved, datasets.DatasetDict) else {"train": saved}
    return {str(name): _table(part, f"{folder} ({name})") for name, part in parts.items()}


def read_repository(folder: Path, config: str | None, origin: str) -> dict[str, Table]:
    """Tables by split name from a downloaded Hub repository. Only data files are read; scripts are refused."""
    import datasets

    with _quiet(), _as_data_error(origin):
        loaded = datasets.load_dataset(str(folder), name=config)
    return {str(name): _table(part, f"{origin} ({name})") for name, part in loaded.items()}


def _table(part: Dataset, origin: str) -> Table:
    import datasets

    labels = {name: spec.names for name, spec in part.features.items() if isinstance(spec, datasets.ClassLabel)}
    return with_label_names(part.to_dict(), labels, origin)


@contextmanager
def _as_data_error(origin: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the library raises its own classes, pyarrow's and built-in ones alike
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{origin}: the `datasets` library cannot read it ({said}); give its data as a CSV, JSONL or Parquet file"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's bars, logs and warnings off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets

        before = datasets.logging.get_verbosity()
        datasets.logging.set_verbosity(datasets.logging.CRITICAL)
        datasets.disable_progress_bars()
        try:
            yield
        finally:
            datasets.logging.set_verbosity(before)
