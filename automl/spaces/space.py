"""A search space as a value: the techniques to choose from, and what is searched under each, as Optuna is told it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from automl.spaces.param import Param

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

ARM = "arm"  # Optuna's name for the choice between arms


@dataclass(frozen=True)
class Arm:
    """One technique with params of its own, those that all arms share left out.

    `recipes` are configurations to try besides the default one: param -> value, of type layers as shares of the depth.
    """

    name: str
    description: str = ""
    params: tuple[Param, ...] = ()
    recipes: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class SearchSpace:
    """A checked search space, in the order of its file. One without techniques has a single arm without a name.

    Optuna knows a shared param by its name and one of an arm as `arm.param`: two arms may so give one param different
    bounds, or choices, which a study could not hold under one name. Where there are several arms, `arm` chooses.
    """

    name: str
    description: str
    shared: tuple[Param, ...]
    arms: tuple[Arm, ...]  # at least one; cheap ones first

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what is searched: free of comments, layout, order of params, name and descriptions."""
        arms = [[arm.name, _content(arm.params), [dict(recipe) for recipe in arm.recipes]] for arm in self.arms]
        return hashlib.sha256(json.dumps([_content(self.shared), arms], sort_keys=True).encode()).hexdigest()

    def entries(self, arm: str) -> tuple[Param, ...]:
        """Every param of an arm, fixed ones included, the shared ones first."""
        return tuple(param for _, param in self._named(self._arm(arm)))

    def distributions(self, depth: int, arm: str) -> dict[str, BaseDistribution]:
        """Optuna's distributions of all that is chosen in an arm, for an encoder of `depth` layers (0 to 512)."""
        from optuna.distributions import CategoricalDistribution

        choice = {ARM: CategoricalDistribution([arm.name for arm in self.arms])} if len(self.arms) > 1 else {}
        return choice | {name: param.distribution(depth) for name, param in self._searched(self._arm(arm))}

    def suggest(self, trial: BaseTrial, depth: int) -> None:
        """Have the trial's sampler choose an arm, then the arm's params; `trial.params` has them afterwards."""
        arm = self.arms[0].name
        if len(self.arms) > 1:
            arm = trial.suggest_categorical(ARM, [arm.name for arm in self.arms])
        for name, distribution in self.distributions(depth, arm).items():
            _suggest(trial, name, distribution)

    def has(self, optuna_params: Mapping[str, Any], depth: int) -> bool:
        """Whether these params, by Optuna's names, are those that an arm of this space searches, within bounds."""
        from optuna.trial import TrialState, create_trial

        if len(self.arms) > 1 and optuna_params.get(ARM) not in [arm.name for arm in self.arms]:
            return False
        distributions = self.distributions(depth, self.arm_of(optuna_params))
        try:
            create_trial(state=TrialState.WAITING, params=dict(optuna_params), distributions=distributions)
        except ValueError:
            return False
        return True

    def arm_of(self, optuna_params: Mapping[str, Any]) -> str:
        """The name of the arm that a trial of this space is in."""
        return str(optuna_params[ARM]) if len(self.arms) > 1 else self.arms[0].name

    def params(self, optuna_params: Mapping[str, Any]) -> dict[str, Any]:
        """A trial's params by their plain names, with what the space fixes: all that is not at the default of Params.

        Args:
            optuna_params: as `suggest` leaves them in `trial.params`, or one of `recipes`.
        """
        named = self._named(self._arm(self.arm_of(optuna_params)))
        return {param.name: optuna_params[name] if param.searched else param.default for name, param in named}

    def recipes(self, depth: int) -> list[dict[str, Any]]:
        """What to try before a sampler proposes: each arm's default, cheap first, then each arm's further recipes.

        Every searched param has a value, by Optuna's names; no two are alike.
        """
        defaults = [self._configuration(arm, {}, depth) for arm in self.arms]
        further = [self._configuration(arm, recipe, depth) for arm in self.arms for recipe in arm.recipes]
        found = defaults + further
        return [recipe for place, recipe in enumerate(found) if recipe not in found[:place]]

    def values(self, name: str) -> tuple[Any, ...]:
        """Every value that a categorical or fixed param can take in any arm; none where no arm names it."""
        params = (param for arm in self.arms for param in self.entries(arm.name))
        return tuple(dict.fromkeys(value for param in params if param.name == name for value in param.values()))

    def largest(self, name: str, default: int) -> int:
        """The largest value that a whole-number param can take in any arm; `default` in one that does not name it."""
        named = ({param.name: param for param in self.entries(arm.name)} for arm in self.arms)
        return max(params[name].largest() if name in params else default for params in named)

    def _arm(self, name: str) -> Arm:
        return {arm.name: arm for arm in self.arms}[name]

    def _named(self, arm: Arm) -> Iterator[tuple[str, Param]]:
        yield from ((param.name, param) for param in self.shared)
        yield from ((f"{arm.name}.{param.name}", param) for param in arm.params)

    def _searched(self, arm: Arm) -> Iterator[tuple[str, Param]]:
        return ((name, param) for name, param in self._named(arm) if param.searched)

    def _configuration(self, arm: Arm, recipe: Mapping[str, Any], depth: int) -> dict[str, Any]:
        choice = {ARM: arm.name} if len(self.arms) > 1 else {}
        searched = self._searched(arm)
        return choice | {name: param.at(recipe.get(param.name, param.start), depth) for name, param in searched}


def _content(params: tuple[Param, ...]) -> dict[str, Any]:
    return {param.name: {k: v for k, v in asdict(param).items() if v is not None} for param in params}


def _suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, log=log):
            trial.suggest_float(name, low, high, log=log)
