"""Hyperparameter search and AutoML for fine-tuning on small data."""

__version__ = "0.1.0"
