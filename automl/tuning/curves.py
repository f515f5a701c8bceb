"""Learning curves of real trainings, recorded once in a small table, and which of them answers for a configuration."""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.errors import DataError
from automl.spaces import BoundSpace, load_space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Point:
    """What a training was worth at a step of its schedule, and the seconds that a worker had spent on it by then."""

    step: int
    value: float
    loss: float
    seconds: float


@dataclass(frozen=True)
class Curve:
    """One training, from start to end. With an `error` it broke there, after the last of its points."""

    points: tuple[Point, ...]
    seconds: float
    examples: int = 0  # that it went through
    error: str | None = None

    @property
    def value(self) -> float:
        """What it was worth at its end: nothing where it broke."""
        return 0.0 if self.error else self.points[-1].value


@dataclass(frozen=True)
class Recorded:
    """One configuration, by Optuna's names, and its curve in each of the table's cells."""

    params: Mapping[str, Any]
    curves: tuple[Curve, ...]

    @property
    def value(self) -> float:
        """What it is truly worth, as far as the table knows: the mean over all cells."""
        return fmean(curve.value for curve in self.curves)


@dataclass(frozen=True)
class Table:
    """Recorded configurations, and `facts` about them all.

    Of the facts a replay reads "search_space", the YAML text of the space that configurations were drawn from, "rows",
    the labelled ones, and "depths", the layers of each encoder by its short name.
    """

    facts: Mapping[str, Any]
    recorded: tuple[Recorded, ...]

    @property
    def space(self) -> BoundSpace:
        """The search space, as it was when the table was made."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "space.yaml"
            file.write_text(self.facts["search_space"], encoding="utf-8")
            return load_space(str(file)).for_rows(self.facts["rows"]).over(self.facts["depths"])


def write_table(path: Path, table: Table) -> None:
    """Write JSON lines, compressed: the facts, then one configuration a line. Equal tables give equal bytes."""
    lines = [dict(table.facts), *map(_packed, table.recorded)]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def read_table(path: Path) -> Table:
    """Read what `write_table` wrote.

    Raises:
        DataError: the file cannot be read as one.
    """
    try:
        facts, *lines = map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines())
        return Table(facts, tuple(map(_unpacked, lines)))
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a table of learning curves ({type(error).__name__}: {error}); record one with "
            "python -m benchmarks.curves"
        ) from None


def nearest_in(table: Table, space: BoundSpace) -> Callable[[Mapping[str, Any]], Recorded]:
    """A function from a configuration of the space, by Optuna's names, to the nearest one that was recorded in its arm.

    Distance is Euclidean over params as the space scales them: a range has length 1, on its logarithm where it is
    searched so; unlike categories are 1 apart.

    Raises:
        DataError: an arm of the space, or a param of one, was not recorded.

    Source: Salinas et al. (2022), Syne Tune: A Library for Large Scale Hyperparameter Tuning and Reproducible Research.
    """
    arms = {}
    for arm in space.arms:
        distributions = space.distributions(arm.name)
        mine = [one for one in table.recorded if one.params.keys() == distributions.keys()]
        mine = [one for one in mine if space.arm_of(one.params) == arm.name]
        if not mine:
            raise DataError(
                f"the table of learning curves has no configuration of {arm.name or space.written.name!r} with params "
                f"{', '.join(distributions)}: replay the space that it was recorded with, or record it anew"
            )
        arms[arm.name] = distributions, mine, np.array([_place(one.params, distributions) for one in mine])

    def find(params: Mapping[str, Any]) -> Recorded:
        distributions, mine, places = arms[space.arm_of(params)]  # places: [configurations, coordinates]
        return mine[int(np.argmin(((places - _place(params, distributions)) ** 2).sum(axis=1)))]

    return find


def _place(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> list[float]:
    return [part for name, one in sorted(distributions.items()) for part in _scaled(params[name], one)]


def _scaled(value: Any, distribution: BaseDistribution) -> Sequence[float]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case CategoricalDistribution(choices=choices):
            return [math.sqrt(0.5) * (value == choice) for choice in choices]
        case IntDistribution(low=low, high=high, log=log) | FloatDistribution(low=low, high=high, log=log):
            scale: Callable[[float], float] = math.log if log else float
            return [(scale(value) - scale(low)) / (scale(high) - scale(low))] if high > low else []
    raise TypeError(distribution)


def _packed(one: Recorded) -> dict[str, Any]:
    curves = [
        {**asdict(curve), "points": [list(asdict(point).values()) for point in curve.points]} for curve in one.curves
    ]
    return {"params": dict(one.params), "curves": curves}


def _unpacked(line: Mapping[str, Any]) -> Recorded:
    curves = (
        Curve(**{**curve, "points": tuple(Point(*point) for point in curve["points"])}) for curve in line["curves"]
    )
    return Recorded(line["params"], tuple(curves))
