"""The hyperparameters that a trial can be given: their names, bounds and meaning, in one place.

Names are Hugging Face's where it has one. A search space may only name what stands here, and only inside these bounds;
training reads every one of them. A param that the chosen technique has no use for changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# Techniques that put trained modules into a frozen encoder, by peft's names where it has one.
PEFT_TECHNIQUES = ("lora", "ia3", "bitfit", "prompt_tuning", "prefix_tuning")


class Params(BaseModel):
    """One configuration. The defaults are a sound recipe for a small encoder and a few hundred rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # What is trained
    technique: Literal[
        "fine_tuning", "features", "contrastive", "lora", "ia3", "bitfit", "prompt_tuning", "prefix_tuning"
    ] = Field(
        "fine_tuning",
        description="fine_tuning: the layers above the frozen ones; features: a head on the frozen encoder; "
        "contrastive: the encoder on pairs of texts, then a linear head; the others: small parts of the encoder",
    )
    starting_weights: Literal["pretrained", "domain_adapted"] = Field(
        "pretrained",
        description="domain_adapted: the encoder was first trained as a masked language model on the task's own text",
    )
    frozen_layers: int = Field(
        0, ge=0, le=512, description="first k encoder layers, and the embeddings, kept as they are"
    )
    gradual_unfreezing: float = Field(
        0.0, ge=0, le=1, description="share of the steps over which layers join in, from the top down; 0 is off"
    )
    reinitialized_layers: int = Field(
        0, ge=0, le=512, description="last L encoder layers, and the pooler, that start from new random weights"
    )

    # How it is trained
    learning_rate: float = Field(2e-4, gt=0, le=0.1, description="peak step size of AdamW")
    layerwise_lr_decay: float = Field(
        1.0, ge=0.1, le=1, description="factor on the step size from each layer to the one below it; 1 is off"
    )
    head_lr_multiplier: float = Field(
        1.0, ge=0.01, le=1000, description="factor on the step size of what stands above the encoder"
    )
    num_train_epochs: int = Field(4, ge=1, le=500, description="passes over the training rows")
    max_steps: int = Field(
        0, ge=0, le=1_000_000, description="above 0: train for so many steps, in place of num_train_epochs"
    )
    min_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="train for at least so many steps, in further epochs where num_train_epochs are fewer",
    )
    per_device_train_batch_size: int = Field(16, ge=1, le=1024, description="rows a step")
    lr_scheduler_type: Literal["linear", "cosine", "slanted_triangular", "constant_with_warmup"] = Field(
        "linear", description="how the step size falls after the warm-up; slanted_triangular ends at 1/32 of the peak"
    )
    warmup_ratio: float = Field(0.1, ge=0, le=0.9, description="share of the steps in which the step size grows from 0")
    optim: Literal["adamw", "adamw_uncorrected"] = Field(
        "adamw", description="adamw_uncorrected leaves out the bias correction, as the first BERT did: for study only"
    )
    early_stopping_patience: int = Field(
        0,
        ge=0,
        le=100,
        description="stop after so many evaluations without a better value, and keep the best one's weights; 0 is off",
    )

    # What keeps it from learning the rows by heart
    weight_decay: float = Field(0.01, ge=0, le=1, description="decoupled decay of weight matrices (not biases, norms)")
    pretrained_decay: float = Field(
        0.0, ge=0, le=1, description="decoupled decay towards the pretrained weights, in place of 0 (L2-SP)"
    )
    mixout: float = Field(
        0.0, ge=0, le=0.95, description="share of each weight matrix set back to its pretrained values in every step"
    )
    hidden_dropout_prob: float | None = Field(
        None,
        ge=0,
        le=0.9,
        description="dropout of embeddings, layers and before the head; not written: the model's own",
    )
    attention_probs_dropout_prob: float | None = Field(
        None, ge=0, le=0.9, description="dropout of attention weights; not written: the model's own"
    )
    r_drop: float = Field(
        0.0, ge=0, le=50, description="weight of the divergence of two passes, unlike in dropout; 0 is off"
    )
    label_smoothing_factor: float = Field(0.0, ge=0, le=0.9, description="share of the target spread over all labels")
    max_grad_norm: float = Field(1.0, ge=0, le=1000, description="longest gradient left whole; 0 is no bound")
    weight_averaging: Literal["none", "ema", "swa"] = Field(
        "none",
        description="evaluate and keep mean weights: ema, decaying over steps; swa, plain, of the last quarter",
    )
    ema_decay: float = Field(0.99, ge=0.5, le=0.99999, description="share of the average that a step keeps, for ema")
    mixup_alpha: float = Field(
        0.0, ge=0, le=8, description="mixing of two rows and their labels, by Beta(alpha, alpha); 0 is off"
    )

    # Labels of unequal number
    class_weights: Literal["none", "balanced", "sqrt_balanced"] = Field(
        "none", description="weight of a row's loss: balanced, one over its label's share; sqrt_balanced, its root"
    )
    focal_gamma: float = Field(
        0.0, ge=0, le=10, description="how much less rows count that are right already; 0 is off"
    )
    balanced_sampling: bool = Field(False, description="draw every label equally often in an epoch")

    # Altered copies of training rows
    augmentation: Literal[
        "none", "random_edits", "synonyms", "typos", "sentence_order", "masked_words", "back_translation"
    ] = Field("none", description="training rows are joined by copies that are altered in this way")
    augmentation_copies: int = Field(1, ge=1, le=4, description="altered copies of each training row")

    # technique: features (`pooling` also for contrastive)
    feature_source: Literal[
        "last", "second_to_last", "mean_last_four", "weighted_last_four", "concat_last_four", "all"
    ] = Field("last", description="which layers of the frozen encoder the head sees")
    pooling: Literal["cls", "mean", "max"] = Field("mean", description="how token vectors become one vector a text")
    feature_head: Literal["logistic_regression", "mlp", "knn"] = Field(
        "logistic_regression", description="what is fitted on the features"
    )
    logistic_regression_c: float = Field(1.0, ge=1e-5, le=1e5, description="inverse of the head's L2 penalty")
    mlp_width: int = Field(128, ge=4, le=4096, description="hidden units of the mlp head")
    knn_neighbors: int = Field(8, ge=1, le=256, description="neighbours that vote in the knn head")

    # technique: lora, prompt_tuning, prefix_tuning, contrastive
    lora_r: int = Field(8, ge=1, le=256, description="rank of the LoRA updates")
    lora_alpha_ratio: float = Field(2.0, ge=0.1, le=64, description="scale of the LoRA updates, in multiples of lora_r")
    lora_dropout: float = Field(0.0, ge=0, le=0.9, description="dropout of what LoRA reads")
    num_virtual_tokens: int = Field(16, ge=1, le=128, description="trained tokens of prompt_tuning and prefix_tuning")
    contrastive_pairs: int = Field(
        4, ge=1, le=64, description="other rows of its label that a row meets in a batch, about"
    )


def short(value: Any) -> str:
    """A param's value with the digits that a reader needs."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def told(params: Mapping[str, Any], named: Collection[str]) -> dict[str, Any]:
    """What is worth telling of a configuration: what the search space names, and what is not at its default."""
    default = Params().model_dump()
    return {name: value for name, value in params.items() if name in named or value != default[name]}
