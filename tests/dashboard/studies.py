"""Studies at every stage of a search, written into a database without searching."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json

from automl.records import State
from automl.study import Study, open_study, schema
from automl.study.heart import ALIVE, now

IDENTITY = {"task": "t", "model": "m", "search space": "s"}
ARMS = ("frozen_head", "full")
SPACE: dict[str, Any] = {
    "arm": CategoricalDistribution(ARMS),
    "frozen_head.logistic_regression_c": FloatDistribution(1e-3, 1, log=True),
    "full.learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
    "full.layerwise_lr_decay": FloatDistribution(0.5, 1),
}
FACTS: dict[str, Any] = {
    "task": "reviews",
    "metric": "accuracy",
    "model": "tiny",
    "search_space": "default",
    "command": "python -m automl.search --task reviews.csv --budget 20 --time-limit=60",
    "data": {
        "source": "reviews.csv",
        "fingerprint": "f" * 64,
        "rows": {"labelled": 240, "test": 60},
        "folds": 3,
        "held_out": 240,
        "compared": "3-fold cross-validation over all 240 labelled rows",
        "labels": {"labelled": {"bad": 120, "good": 120}, "test": {"bad": 30, "good": 30}},
        "dropped": {"empty text": 2},
        "imbalance": None,
    },
}


def params(rng: random.Random, arm: str | None = None) -> dict[str, Any]:
    arm = arm or rng.choice(ARMS)
    if arm == "frozen_head":
        return {"arm": arm, "frozen_head.logistic_regression_c": 10 ** rng.uniform(-3, 0)}
    return {
        "arm": arm,
        "full.learning_rate": 10 ** rng.uniform(-5, -3),
        "full.layerwise_lr_decay": rng.uniform(0.5, 1),
    }


def begin(study: Study, chosen: Mapping[str, Any], **facts: Any) -> int:
    """Start a trial."""
    distributions = {name: SPACE[name] for name in chosen}
    whole = {"stage": "search", "fold": 0, "seed": 0, "worker": 100, **facts}
    return study.start(chosen, distributions, whole).number


def run(study: Study, chosen: Mapping[str, Any], values: Sequence[float], state: State, **facts: Any) -> int:
    """A trial with these values at its steps, and this end."""
    number = begin(study, chosen, **facts)
    for step, value in zip((1, 2, 4, 6, 8), values, strict=False):
        study.report(number, step, value)
    own = {"seconds": 2.0, "busy_seconds": 1.5, "loss": 0.5, "peak_memory_mb": 900}
    if state is State.FAIL:
        own |= {"error": "loss is nan", "traceback": "Traceback: loss is nan"}
    study.end(number, state, values[-1] if values else None, own)
    return number


def make(url: str, name: str) -> None:
    """The study at one of the stages."""
    rng = random.Random(1)
    with open_study(url, name, IDENTITY) as study:
        for fact, value in FACTS.items():
            study.record(fact, value)
        if name in ("one", "running", "cut-off"):
            run(study, params(rng, "full"), (0.5, 0.6, 0.7, 0.75, 0.8), State.COMPLETE)
        if name in ("running", "cut-off"):
            first = params(rng, "frozen_head")
            number = run(study, first, (0.7,), State.COMPLETE)
            run(study, params(rng, "full"), (0.4,), State.PRUNED)
            run(study, first, (0.72,), State.COMPLETE, stage="race", fold=1, seed=1, configuration=number)
            run(study, first, (0.3,), State.PRUNED, stage="race", fold=2, seed=2, configuration=number)
            study.report(begin(study, params(rng, "full"), worker=200), 2, 0.55)
        if name == "running":
            beat = now() + timedelta(hours=1)  # and so a fresh one as long as tests run
            study.record(ALIVE, {"at": beat.isoformat(), "host": "here", "process": 1})
        if name == "failed":
            for _ in range(3):
                run(study, params(rng), (), State.FAIL)


STAGES = ("empty", "one", "running", "cut-off", "failed")


def make_large(url: str, name: str = "large", trials: int = 5000, seed: int = 0) -> None:
    """A study of thousands of trials, written in a second or two."""
    rng = random.Random(seed)
    with open_study(url, name, IDENTITY) as study:
        for fact, value in FACTS.items():
            study.record(fact, value)
    engine = sqlalchemy.create_engine(url)
    began = datetime.now() - timedelta(hours=10)
    with engine.begin() as connection:
        study_id = connection.execute(
            sqlalchemy.select(schema.STUDIES.c.study_id).where(schema.STUDIES.c.study_name == name)
        ).scalar_one()
        first = connection.execute(sqlalchemy.select(sqlalchemy.func.max(schema.TRIALS.c.trial_id))).scalar() or 0
        rows: dict[Any, list[dict[str, Any]]] = {}
        for number in range(trials):
            key = first + 1 + number
            state = State.COMPLETE if rng.random() < 0.5 else State.PRUNED
            rows.setdefault(schema.TRIALS, []).append(
                {
                    "trial_id": key,
                    "number": number,
                    "study_id": study_id,
                    "state": state.value,
                    "datetime_start": began + timedelta(seconds=7 * (number // 2)),
                    "datetime_complete": began + timedelta(seconds=7 * (number // 2) + 6),
                }
            )
            chosen, value = params(rng), rng.betavariate(8, 3)
            for param, one in chosen.items():
                internal = SPACE[param].to_internal_repr(one)
                text = distribution_to_json(SPACE[param])
                rows.setdefault(schema.PARAMS, []).append(
                    {"trial_id": key, "param_name": param, "param_value": internal, "distribution_json": text}
                )
            steps = (1, 2, 4, 6, 8) if state is State.COMPLETE else (1, 2)
            for step in steps:
                rows.setdefault(schema.STEPS, []).append(
                    {
                        "trial_id": key,
                        "step": step,
                        "intermediate_value": value * (0.7 + 0.3 * step / 8),
                        "intermediate_value_type": "FINITE",
                    }
                )
            if state is State.COMPLETE:
                rows.setdefault(schema.VALUES, []).append(
                    {"trial_id": key, "objective": 0, "value": value, "value_type": "FINITE"}
                )
            facts = {"stage": "search", "fold": 0, "seed": 0, "worker": 100 + number % 2, "seconds": 6.0}
            facts |= {"busy_seconds": 5.5, "loss": 1 - value, "peak_memory_mb": 900, "precision": "bfloat16"}
            facts |= {f"fact {i}": i for i in range(12)}  # as many as a search records
            for fact, one in facts.items():
                rows.setdefault(schema.ATTRIBUTES, []).append(
                    {"trial_id": key, "key": fact, "value_json": json.dumps(one)}
                )
        for table, lines in rows.items():
            connection.execute(sqlalchemy.insert(table), lines)
    engine.dispose()
