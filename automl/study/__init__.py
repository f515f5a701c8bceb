"""The study database, and the only package that touches it: one study holds one search and every trial of it."""

from automl.study.past import PastStudy, past_studies
from automl.study.record import Study, open_study, study_in_memory
from automl.study.storage import readable_url

__all__ = ["PastStudy", "Study", "open_study", "past_studies", "readable_url", "study_in_memory"]
