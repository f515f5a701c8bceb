"""Which configurations a table of learning curves holds, and a table that was made up, for trying a replay out."""

from __future__ import annotations

from typing import Any

import numpy as np

from automl.spaces import ARM, BoundSpace, load_space, presets
from automl.tuning.curves import Curve, Point, Recorded, Table

STEPS = (1, 2, 4, 6, 8)
DEPTH = 6


def drawn(space: BoundSpace, count: int, seed: int) -> list[dict[str, Any]]:
    """Recipes and random draws, by Optuna's names: arms in equal shares, and in turn."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    recipes = space.recipes()
    of_arm = {arm.name: [one for one in recipes if space.arm_of(one) == arm.name] for arm in space.arms}
    found = []
    for place in range(count):
        arm = space.arms[place % len(space.arms)].name
        if of_arm[arm]:
            found.append(of_arm[arm].pop(0))
            continue
        study.enqueue_trial({ARM: arm})
        trial = study.ask()
        space.suggest(trial)
        found.append(dict(trial.params))
    return found


def made_up(preset: str, count: int, seed: int, *, cells: int = 3) -> Table:
    """Curves with what matters in real ones: arms of unlike cost, unlike paces, noise of the cell and of the seed."""
    space = load_space(preset).over({"made up": DEPTH})
    rng = np.random.default_rng(seed)
    names = [arm.name for arm in space.arms]
    arm_worth, arm_seconds = 0.8 + 0.04 * rng.random(len(names)), np.geomspace(0.2, 30, len(names))
    cell_noise = rng.normal(0, 0.02, cells)
    recorded = []
    for params in drawn(space, count, seed):
        arm = names.index(space.arm_of(params))
        worth = arm_worth[arm] - abs(rng.normal(0, 0.04))
        pace, seconds = rng.uniform(1, 3), arm_seconds[arm] * rng.uniform(0.6, 1.6)
        curves = []
        for cell in range(cells):
            end = worth + cell_noise[cell] + rng.normal(0, 0.015)
            rising = [end - 0.3 * np.exp(-pace * step / 2) + rng.normal(0, 0.005) for step in STEPS]
            curves.append(_curve(rising, float(seconds)))
        recorded.append(Recorded(params, tuple(curves)))
    text = presets()[preset].read_text(encoding="utf-8")
    facts = {"task": "made up", "rows": 1000, "search_space": text, "depths": {"made up": DEPTH}}
    return Table(facts, tuple(recorded))


def _curve(values: list[float], seconds: float) -> Curve:
    points = [
        Point(step, round(float(value), 3), round(float(1 - value), 3), round(seconds * step / STEPS[-1], 3))
        for step, value in zip(STEPS, values, strict=True)
    ]
    return Curve(tuple(points), points[-1].seconds, 2000)
