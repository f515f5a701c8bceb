"""The study database, and the only package that touches it: one study holds one search and every trial of it."""

from automl.study.reader import Reader
from automl.study.record import Study, open_study, study_in_memory
from automl.study.storage import readable_url

__all__ = ["Reader", "Study", "open_study", "readable_url", "study_in_memory"]
