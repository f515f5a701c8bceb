"""What a fitted head is: a few arrays, and the logits they give. numpy alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Head(Protocol):
    """What was fitted on features."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """[rows, labels] float32 for features [rows, dims] or [rows, layers, width], as they were at the fit."""
        ...

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything that `load_head` needs; the names tell the kind of head."""
        ...


@dataclass(frozen=True)
class Linear:
    """weight [labels, dims] and bias [labels]."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(flat(features) @ self.weight.T + self.bias)

    def tensors(self) -> dict[str, np.ndarray]:
        return {f"linear.{name}": value for name, value in vars(self).items()}


@dataclass(frozen=True)
class Mlp:
    """One hidden layer with ReLU: hidden_weight [units, dims], hidden_bias [units], weight [labels, units], bias."""

    hidden_weight: np.ndarray
    hidden_bias: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        hidden = np.maximum(flat(features) @ self.hidden_weight.T + self.hidden_bias, 0)
        return np.asarray(hidden @ self.weight.T + self.bias)

    def tensors(self) -> dict[str, np.ndarray]:
        return {f"mlp.{name}": value for name, value in vars(self).items()}


@dataclass(frozen=True)
class Neighbours:
    """The training rows at length 1, their votes, and how features become such rows.

    A vote counts as much as the row is similar to the text (cosine). Every label has `prior` votes from the start, one
    in all, so that no probability is 0.
    """

    rows: np.ndarray  # [rows, width]
    votes: np.ndarray  # [rows, labels]
    prior: np.ndarray  # [labels]
    neighbors: np.ndarray  # [] int64, at most the rows
    mean: np.ndarray  # [dims]
    scale: np.ndarray  # [dims]
    mix: np.ndarray  # [layers]

    def logits(self, features: np.ndarray) -> np.ndarray:
        similarity = unit(mixed(features, self.mean, self.scale, self.mix)) @ self.rows.T
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : int(self.neighbors)]  # [texts, neighbors]
        weight = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0)
        votes = self.prior + (weight[:, :, None] * self.votes[nearest]).sum(axis=1)
        return np.asarray(np.log(votes / votes.sum(axis=1, keepdims=True)), np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        return {f"knn.{name}": value for name, value in vars(self).items()}


def load_head(tensors: Mapping[str, np.ndarray]) -> Head:
    """The head whose `tensors()` these are."""
    kind = next(iter(tensors)).partition(".")[0]
    values = {name.partition(".")[2]: value for name, value in tensors.items()}
    heads: dict[str, type[Linear] | type[Mlp] | type[Neighbours]] = {"linear": Linear, "mlp": Mlp, "knn": Neighbours}
    return heads[kind](**values)


def flat(features: np.ndarray) -> np.ndarray:
    """[rows, dims], whatever the shape was."""
    return features.reshape(len(features), math.prod(features.shape[1:]))  # -1 could not be told where there are none


def unit(rows: np.ndarray) -> np.ndarray:
    """The rows at length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def mixed(features: np.ndarray, mean: np.ndarray, scale: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """Features standardised by mean and scale [dims], and their layers mixed: [rows, width]."""
    scaled = (flat(features) - mean) * scale
    if len(mix) == 1:
        return np.asarray(scaled)
    return np.asarray(np.einsum("rlw,l->rw", scaled.reshape(len(scaled), len(mix), scaled.shape[1] // len(mix)), mix))
