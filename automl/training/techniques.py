"""One trial, by its technique: which model it trains, in which way, and what is kept of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.models.adapters import trained_tensors
from automl.models.layers import redraw
from automl.models.shape import settled, shape
from automl.params import Params
from automl.records import Report, TrialResult
from automl.tasks.kinds import Kind
from automl.training.cache import CachedStates, StateCache, fingerprint
from automl.training.contrastive import train_contrastive
from automl.training.data import StudyData, TrainingData
from automl.training.feature_store import shared_arrays
from automl.training.features import POOLINGS, pooled_states, train_features
from automl.training.heads import Head
from automl.training.loop import train
from automl.training.pause import Paused
from automl.training.precision import by_columns, computing_in

if TYPE_CHECKING:
    import torch

HEAD = "automl.head."  # before the names of a head's tensors, where it is not the model's own
CACHEABLE = ("fine_tuning", "lora", "ia3", "bitfit")  # their first layers read nothing but the text


@dataclass(frozen=True)
class Base:
    """Starting weights in a model that is never trained itself: every trial gets a copy."""

    model: Any
    new: Sequence[str]  # parameters that the checkpoint lacks (the head): each trial draws them anew
    sha256: str
    text_start: int  # tokens that the tokenizer puts before a text


@dataclass(frozen=True)
class Finished:
    """The end of a trial, and the tensors by which its model can be built again."""

    result: TrialResult
    tensors: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Trainer:
    """What the trials of a study have in common. With a `cache` folder, workers share what they compute."""

    data: StudyData
    kind: Kind
    cache: Path | None
    features: dict[tuple[str, int], dict[str, np.ndarray]] = field(default_factory=dict)  # weights, first row -> states

    def train(
        self,
        base: Base,
        params: Params,
        *,
        seed: int,
        fold: int | None,
        precision: str,
        accumulation: int = 1,
        paused: Paused | None = None,
        on_stop: Callable[[Paused], None] | None = None,
    ) -> Generator[Report | Finished, None, None]:
        """Train one configuration: reports, and last its end.

        Args:
            fold: what is held out; None holds nothing out.
            paused: state of the same training, stopped earlier, to go on from.
            on_stop: is given the state when the generator is closed; techniques with loops of their own have none.

        Raises:
            Misfit: `paused` is of another training.
        """
        params, data = settled(params, base.model), self.data.fold(fold)
        if params.technique == "features":
            yield from self._fit_head(base, params, data, seed, precision)
            return
        model = fresh_copy(base, seed)
        if params.technique == "contrastive":
            yield from self._train_contrastive(model, params, data, seed, precision)
            return
        shape(model, params, base.text_start)
        by_columns(model)
        training = train(
            model,
            params,
            data,
            self.kind,
            seed=seed,
            precision=precision,
            cached=self.states(model, base, params, data, precision),
            pretrained=_still_pretrained(model, base) if params.mixout or params.pretrained_decay else {},
            accumulation=accumulation,
            paused=paused,
            on_stop=on_stop,
        )
        with closing(training):
            for item in training:
                yield item if isinstance(item, Report) else Finished(item, trained_tensors(model))

    def _fit_head(
        self, base: Base, params: Params, data: TrainingData, seed: int, precision: str
    ) -> Iterator[Report | Finished]:
        labels = base.model.config.num_labels
        states = self.pooled_states(base, precision, self.data.trial_rows)
        training = train_features(states, params, data, self.kind, seed=seed, n_labels=labels)
        yield from _finished_with_head(training, dict)

    def _train_contrastive(
        self, model: Any, params: Params, data: TrainingData, seed: int, precision: str
    ) -> Iterator[Report | Finished]:
        by_columns(model)
        training = train_contrastive(model, params, data, self.kind, seed=seed, precision=precision)
        yield from _finished_with_head(training, lambda: trained_tensors(model))

    def states(self, model: Any, base: Base, params: Params, data: TrainingData, precision: str) -> CachedStates | None:
        """What the frozen layers put out for every row of the trial, if they are frozen and there is room."""
        if self.cache is None or not params.frozen_layers or params.technique not in CACHEABLE:
            return None
        rows = np.concatenate([data.training_rows(params), data.held_out])
        with computing_in(model, precision):
            return StateCache(self.cache).states(
                model,
                params.frozen_layers,
                self.data.rows,
                rows,
                weights=base.sha256,
                pad_token_id=self.data.pad_token_id,
            )

    def pooled_states(self, base: Base, precision: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What the frozen encoder says of the rows, by pooling: [rows, layers + 1, width].

        Args:
            rows: those that trials see, or all others.
        """

        def compute() -> dict[str, np.ndarray]:
            model = copy.deepcopy(base.model)
            with computing_in(model, precision):
                return pooled_states(model, self.data.rows, rows, self.data.pad_token_id)

        part = base.sha256, int(rows[0])
        if part not in self.features:
            key = fingerprint(self.data.rows, *part, precision)
            self.features[part] = (
                compute() if self.cache is None else shared_arrays(self.cache, key, POOLINGS, len(rows), compute)
            )
        return self.features[part]


def fresh_copy(base: Base, seed: int) -> Any:
    """A model to train, with a new head; what torch's global generator draws from here on is the seed's, too."""
    import torch

    torch.manual_seed(seed)
    model = copy.deepcopy(base.model)
    redraw(model, [parameter for name, parameter in model.named_parameters() if name in base.new])
    return model


def _still_pretrained(model: Any, base: Base) -> dict[str, torch.Tensor]:
    """Pretrained values by name, without what this trial begins anew."""
    import torch

    own = dict(model.named_parameters())
    values = ((name, value.detach()) for name, value in base.model.named_parameters())
    known = {name: value for name, value in values if name in own and name not in base.new}
    return {name: value for name, value in known.items() if torch.equal(own[name], value)}


def _finished_with_head(
    training: Generator[Report | TrialResult, None, Head], tensors: Callable[[], Mapping[str, torch.Tensor]]
) -> Iterator[Report | Finished]:
    """Pass the reports on; the end comes when the generator has returned its head."""
    import torch

    head, results = None, []
    while head is None:
        try:
            item = next(training)
        except StopIteration as stop:
            head = stop.value
        else:
            if isinstance(item, Report):
                yield item
            else:
                results.append(item)
    arrays = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in head.tensors().items()}  # [] would be [1]
    own = {HEAD + name: torch.from_numpy(array) for name, array in arrays.items()}
    yield Finished(results[0], {**tensors(), **own})
