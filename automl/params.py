"""The hyperparameters that a trial can be given: their names, bounds and meaning, in one place.

Names are Hugging Face's where it has one. A search space may only name what stands here, and only inside these bounds;
the train loop reads every one of them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Params(BaseModel):
    """One configuration. The defaults are a sound recipe for a small encoder and a few hundred rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(2e-4, gt=0, le=0.1, description="peak step size of AdamW")
    num_train_epochs: int = Field(4, ge=1, le=500, description="passes over the training rows")
    per_device_train_batch_size: int = Field(16, ge=1, le=1024, description="rows a step")
    warmup_ratio: float = Field(0.1, ge=0, le=0.9, description="share of the steps in which the step size grows from 0")
    weight_decay: float = Field(0.01, ge=0, le=1, description="decoupled decay of weight matrices (not biases, norms)")
    frozen_layers: int = Field(
        0, ge=0, le=512, description="first k encoder layers, and the embeddings, kept as they are"
    )
    augmentation: Literal["none", "random_edits"] = Field(
        "none", description="random_edits: training rows are joined by copies with words swapped and dropped"
    )
