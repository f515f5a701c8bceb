"""One entry of a search space as a value: what it can be, as Optuna is told it, and where a search begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Kind = Literal["float", "int", "layers", "categorical", "fixed"]


@dataclass(frozen=True)
class Param:
    """One entry of a space. Every number of type layers is a share of the encoder's depth.

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

    @property
    def searched(self) -> bool:
        return self.type != "fixed"

    @property
    def start(self) -> Any:
        """The default, else the middle of the range (on its scale), else the first choice."""
        if self.default is not None:
            return self.default
        if self.type == "categorical":
            return self.choices[0]
        if self.log:
            middle = math.sqrt(self.low) * math.sqrt(self.high)  # of the product might be 0
            return round(middle) if self.type == "int" else middle
        if self.type == "int":
            return self.low + (self.high - self.low) // self.step // 2 * self.step
        return self.low + (self.high - self.low) / 2

    def misfit(self, value: Any) -> str:
        """Why a value of the right type is not one of those that are searched; nothing if it is."""
        if self.type == "categorical":
            return "" if value in self.choices else "should be one of the choices"
        if not self.low <= value <= self.high:
            return f"should be within {self.low} to {self.high}"
        if self.type == "int" and (value - self.low) % self.step:
            return f"is not reached from {self.low} in steps of {self.step}"
        return ""

    def at(self, value: Any, depth: int) -> Any:
        """A value of the space as `Params` takes it, for an encoder of `depth` layers."""
        return math.floor(value * depth + 1e-9) if self.type == "layers" else value  # 0.29 * 100 is 28.999999999999996

    def values(self) -> tuple[Any, ...]:
        """Every value of a categorical or fixed param; none of a range."""
        return self.choices if self.searched else (self.default,)

    def largest(self) -> int:
        """The largest value of a whole-number param."""
        return int(self.high or max(self.choices, default=0) or self.default)

    def distribution(self, depth: int) -> BaseDistribution:
        """As Optuna is told it, for an encoder of `depth` layers."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.type == "categorical":
            return CategoricalDistribution(self.choices)
        if self.type == "layers":
            return IntDistribution(self.at(self.low, depth), self.at(self.high, depth))
        if self.type == "int":
            return IntDistribution(self.low, self.high, log=self.log, step=self.step)
        return FloatDistribution(self.low, self.high, log=self.log)
