"""Params of a trial as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl.params import short
from automl.spaces.bound import ARM

MODEL = "model"  # among a trial's settings, where several encoders are searched


def technique_of(params: Mapping[str, Any]) -> str:
    """The arm of a configuration; nothing where its space has but one."""
    return str(params.get(ARM, ""))


def plain_name(name: str, params: Mapping[str, Any]) -> str:
    """A param of these without the arm that Optuna's name for it begins with."""
    return name.removeprefix(f"{technique_of(params)}.")


def params_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen, by plain names, without the technique itself."""
    return {plain_name(name, params): value for name, value in params.items() if name != ARM}


def params_text(params: Mapping[str, Any]) -> str:
    """The same in one line."""
    return ", ".join(f"{name} {short(value)}" for name, value in params_of(params).items())
