"""The pages, one a file, which Streamlit runs. In a folder `pages` it would run them without `app.py`."""
