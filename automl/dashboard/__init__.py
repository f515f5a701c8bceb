"""The dashboard: a Streamlit app over the study database, which it only reads. `python -m automl.dashboard`."""
