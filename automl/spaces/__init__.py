"""Search spaces: the YAML files that say which techniques and hyperparameters are searched, and between which bounds.

The grammar stands in search_spaces/README.md. `automl.params.Params` has the last word on names, types and bounds.
"""

from __future__ import annotations

import os
from pathlib import Path

from automl.errors import SpaceError
from automl.spaces.bound import ARM, BoundArm, BoundSpace
from automl.spaces.entry import GRAMMAR
from automl.spaces.grammar import read_space
from automl.spaces.nodes import nearest
from automl.spaces.param import Param
from automl.spaces.space import Arm, SearchSpace

__all__ = ["ARM", "GRAMMAR", "Arm", "BoundArm", "BoundSpace", "Param", "SearchSpace", "load_space", "presets"]


def load_space(name_or_path: str) -> SearchSpace:
    """Read a preset by name, or a YAML file by path, and check the whole of it.

    Raises:
        SpaceError: the file is not found, or is not valid: then one line `file:line: problem` for each problem.
    """
    return read_space(_find(name_or_path))


def presets() -> dict[str, Path]:
    """The search spaces that come with the project: name -> file."""
    package = Path(__file__).parents[1]
    inside, beside = package / "search_spaces", package.parent / "search_spaces"
    folder = inside if inside.is_dir() else beside  # an installed wheel has them inside the package
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _find(name_or_path: str) -> Path:
    known = presets()
    if name_or_path in known:
        return known[name_or_path]
    if os.path.isfile(name_or_path):
        return Path(name_or_path)
    hint = f"{nearest(name_or_path, known)}; give the path of a YAML file or a preset: {', '.join(known)}"
    raise SpaceError(f"no search space {name_or_path!r}{hint}")
