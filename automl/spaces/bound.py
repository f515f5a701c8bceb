"""A search space for the encoders that are searched, as Optuna is told it: what can be chosen, and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automl.spaces.param import Param

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

    from automl.spaces.space import SearchSpace

ARM = "arm"  # Optuna's name for the choice between arms


@dataclass(frozen=True)
class BoundArm:
    """One technique with one encoder.

    Args:
        model: the encoder's name, as `SearchSpace.over` was given it.
        depth: its layers.
        params: by the names that Optuna knows them by, fixed ones included.
        recipes: configurations to try besides the default one: plain name -> value, of type layers as shares.
    """

    name: str
    model: str
    depth: int
    params: Mapping[str, Param]
    recipes: tuple[Mapping[str, Any], ...]

    def distributions(self) -> dict[str, BaseDistribution]:
        """Of each param that is searched."""
        return {name: param.distribution(self.depth) for name, param in self._searched().items()}

    def configuration(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """A value for each param that is searched: the recipe's, else its default."""
        return {
            name: param.at(recipe.get(param.name, param.start), self.depth) for name, param in self._searched().items()
        }

    def _searched(self) -> dict[str, Param]:
        return {name: param for name, param in self.params.items() if param.searched}


@dataclass(frozen=True)
class BoundSpace:
    """What a search chooses from. Where there are several arms, the param `arm` chooses between them.

    With one encoder Optuna knows a shared param by its name and one of an arm as `arm.param`: two arms may so give one
    param different bounds, or choices, which a study could not hold under one name. With several encoders every arm is
    there once for each, as `encoder/arm`, and so is every param: their depths differ, and with them the bounds.
    """

    written: SearchSpace
    arms: tuple[BoundArm, ...]  # at least one; cheap ones first, of all encoders

    def distributions(self, arm: str) -> dict[str, BaseDistribution]:
        """Optuna's distributions of all that is chosen in an arm."""
        from optuna.distributions import CategoricalDistribution

        choice = {ARM: CategoricalDistribution([arm.name for arm in self.arms])} if len(self.arms) > 1 else {}
        return choice | self._arm(arm).distributions()

    def suggest(self, trial: BaseTrial) -> None:
        """Have the trial's sampler choose an arm, then the arm's params; `trial.params` has them afterwards."""
        for name, distribution in self.distributions(self.suggest_arm(trial)).items():
            _suggest(trial, name, distribution)

    def suggest_arm(self, trial: BaseTrial) -> str:
        """Have it choose an arm only, which stays chosen; its name."""
        if len(self.arms) == 1:
            return self.arms[0].name
        return str(trial.suggest_categorical(ARM, [arm.name for arm in self.arms]))

    def arm_of(self, optuna_params: Mapping[str, Any]) -> str:
        """The name of the arm that a trial of this space is in."""
        return str(optuna_params[ARM]) if len(self.arms) > 1 else self.arms[0].name

    def has(self, optuna_params: Mapping[str, Any]) -> bool:
        """Whether these params, by Optuna's names, are those that an arm of this space searches, within bounds."""
        from optuna.trial import TrialState, create_trial

        if len(self.arms) > 1 and optuna_params.get(ARM) not in [arm.name for arm in self.arms]:
            return False
        distributions = self.distributions(self.arm_of(optuna_params))
        try:
            create_trial(state=TrialState.WAITING, params=dict(optuna_params), distributions=distributions)
        except ValueError:
            return False
        return True

    def model_of(self, optuna_params: Mapping[str, Any]) -> str:
        """The name of the encoder that a trial of this space trains."""
        return self._arm(self.arm_of(optuna_params)).model

    def depth_of(self, optuna_params: Mapping[str, Any]) -> int:
        """The layers of that encoder."""
        return self._arm(self.arm_of(optuna_params)).depth

    def params(self, optuna_params: Mapping[str, Any]) -> dict[str, Any]:
        """A trial's params by their plain names, with what the space fixes: all that is not at the default of Params.

        Args:
            optuna_params: as `suggest` leaves them in `trial.params`, or one of `recipes`.
        """
        named = self._arm(self.arm_of(optuna_params)).params
        return {param.name: optuna_params[name] if param.searched else param.default for name, param in named.items()}

    def told(self, optuna_params: Mapping[str, Any]) -> dict[str, Any]:
        """What people are shown of a trial: its params by their plain names, and which encoder, of several.

        The technique comes first, then what is searched, and last what the space fixes: lines are cut at their end.
        """
        several = len({arm.model for arm in self.arms}) > 1
        named = self._arm(self.arm_of(optuna_params)).params.values()
        order = sorted(named, key=lambda param: (param.name != "technique", not param.searched))
        shown, model = self.params(optuna_params), {"model": self.model_of(optuna_params)} if several else {}
        return model | {param.name: shown[param.name] for param in order}

    def entries(self, arm: str) -> tuple[Param, ...]:
        """Every param of an arm, fixed ones included, the shared ones first."""
        return tuple(self._arm(arm).params.values())

    def recipes(self) -> list[dict[str, Any]]:
        """What to try before a sampler proposes: each arm's default, cheap first, then each arm's further recipes.

        Every searched param has a value, by Optuna's names; no two are alike.
        """
        defaults = [self._configuration(arm, {}) for arm in self.arms]
        further = [self._configuration(arm, recipe) for arm in self.arms for recipe in arm.recipes]
        found = defaults + further
        return [recipe for place, recipe in enumerate(found) if recipe not in found[:place]]

    def _arm(self, name: str) -> BoundArm:
        return {arm.name: arm for arm in self.arms}[name]

    def _configuration(self, arm: BoundArm, recipe: Mapping[str, Any]) -> dict[str, Any]:
        choice = {ARM: arm.name} if len(self.arms) > 1 else {}
        return choice | arm.configuration(recipe)


def _suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, log=log):
            trial.suggest_float(name, low, high, log=log)
