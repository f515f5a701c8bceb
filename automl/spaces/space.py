"""A search space as its file has it: the techniques to choose from, and what is searched under each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from automl.spaces.bound import BoundArm, BoundSpace
from automl.spaces.param import Param


@dataclass(frozen=True)
class Arm:
    """One technique with params of its own, those that all arms share left out.

    Args:
        recipes: configurations to try besides the default one: param -> value, of type layers as shares of the depth.
        min_rows: labelled rows, below which it is not tried.
    """

    name: str
    description: str = ""
    params: tuple[Param, ...] = ()
    recipes: tuple[Mapping[str, Any], ...] = ()
    min_rows: int = 0


@dataclass(frozen=True)
class SearchSpace:
    """A checked search space, in the order of its file. One without techniques has a single arm without a name.

    It fits encoders of any depth; `over` makes of it what a search chooses from.
    """

    name: str
    description: str
    shared: tuple[Param, ...]
    arms: tuple[Arm, ...]  # at least one; cheap ones first, and the first one for any number of rows
    text: str = field(default="", compare=False, repr=False)  # of its file

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what is searched: free of comments, layout, order of params, name and descriptions."""
        arms = [[arm.name, _content(arm.params), [dict(recipe) for recipe in arm.recipes]] for arm in self.arms]
        return hashlib.sha256(json.dumps([_content(self.shared), arms], sort_keys=True).encode()).hexdigest()

    def for_rows(self, rows: int) -> SearchSpace:
        """The space without the arms that so few labelled rows are not enough for."""
        return replace(self, arms=tuple(arm for arm in self.arms if arm.min_rows <= rows))

    def over(self, depths: Mapping[str, int]) -> BoundSpace:
        """The space for these encoders; arms and params have names of their own for each where they are several.

        Args:
            depths: layers (0 to 512) by a short name of the encoder; at least one, the first one is tried first.
        """
        bind = self._alone if len(depths) == 1 else self._among_others
        return BoundSpace(self, tuple(bind(arm, model, depth) for arm in self.arms for model, depth in depths.items()))

    def values(self, name: str) -> tuple[Any, ...]:
        """Every value that a categorical or fixed param can take in any arm; none where no arm names it."""
        params = (param for arm in self.arms for param in self._entries(arm))
        return tuple(dict.fromkeys(value for param in params if param.name == name for value in param.values()))

    def largest(self, name: str, default: int) -> int:
        """The largest value that a whole-number param can take in any arm; `default` in one that does not name it."""
        named = ({param.name: param for param in self._entries(arm)} for arm in self.arms)
        return max(params[name].largest() if name in params else default for params in named)

    def _entries(self, arm: Arm) -> tuple[Param, ...]:
        return (*self.shared, *arm.params)

    def _alone(self, arm: Arm, model: str, depth: int) -> BoundArm:
        shared = {param.name: param for param in self.shared}
        own = {f"{arm.name}.{param.name}": param for param in arm.params}
        return BoundArm(arm.name, model, depth, shared | own, arm.recipes)

    def _among_others(self, arm: Arm, model: str, depth: int) -> BoundArm:
        name = f"{model}/{arm.name}" if arm.name else model
        return BoundArm(
            name, model, depth, {f"{name}.{param.name}": param for param in self._entries(arm)}, arm.recipes
        )


def _content(params: tuple[Param, ...]) -> dict[str, Any]:
    return {param.name: {k: v for k, v in asdict(param).items() if v is not None} for param in params}
