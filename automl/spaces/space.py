"""A search space as a value: which hyperparameters are searched, and as which distributions of Optuna."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Kind = Literal["float", "int", "layers", "categorical", "fixed"]


@dataclass(frozen=True)
class Param:
    """One entry of a space. `low` and `high` of type layers are shares of the encoder's depth.

    `default` is None where none was given; for type fixed it is the value. What a type does not take keeps its default.
    """

    name: str
    type: Kind
    low: Any = None
    high: Any = None
    log: bool = False
    step: int = 1
    choices: tuple[Any, ...] = ()
    default: Any = None


@dataclass(frozen=True)
class SearchSpace:
    """A checked search space, its params in the order of the file."""

    name: str
    description: str
    params: tuple[Param, ...]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what is searched: free of comments, layout, order of keys, name and description."""
        content = {param.name: {k: v for k, v in asdict(param).items() if v is not None} for param in self.params}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def distributions(self, depth: int) -> dict[str, BaseDistribution]:
        """Optuna's distributions of the searched params, for an encoder of `depth` layers (0 to 512)."""
        return {param.name: _distribution(param, depth) for param in self._searched()}

    def fixed(self) -> dict[str, Any]:
        """The params that the space holds at one value."""
        return {param.name: param.default for param in self.params if param.type == "fixed"}

    def defaults(self, depth: int) -> dict[str, Any]:
        """The defaults that the space gives to searched params, for an encoder of `depth` layers (0 to 512)."""
        given = (param for param in self._searched() if param.default is not None)
        return {p.name: _layers(p.default, depth) if p.type == "layers" else p.default for p in given}

    def values(self, name: str) -> tuple[Any, ...]:
        """Every value that a categorical or fixed param can take; none for a param that the space does not name."""
        found = next((param for param in self.params if param.name == name), None)
        return () if found is None else found.choices or (found.default,)

    def largest(self, name: str, default: int) -> int:
        """The largest value that a whole-number param can take; `default` if the space does not name it."""
        found = next((param for param in self.params if param.name == name), None)
        return default if found is None else int(found.high or max(found.choices, default=0) or found.default)

    def _searched(self) -> Iterator[Param]:
        return (param for param in self.params if param.type != "fixed")


def _layers(share: float, depth: int) -> int:
    return math.floor(share * depth + 1e-9)  # 0.29 * 100 is 28.999999999999996


def _distribution(param: Param, depth: int) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if param.type == "categorical":
        return CategoricalDistribution(param.choices)
    if param.type == "layers":
        return IntDistribution(_layers(param.low, depth), _layers(param.high, depth))
    if param.type == "int":
        return IntDistribution(param.low, param.high, log=param.log, step=param.step)
    return FloatDistribution(param.low, param.high, log=param.log)
