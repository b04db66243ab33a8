"""The pages' parts. Streamlit is imported here, in `pages/` and in `app.py` only."""
