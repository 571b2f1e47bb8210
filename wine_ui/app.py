"""The page: `streamlit run wine_ui/app.py`."""

from pathlib import Path

import streamlit as st

from wine_ui import page_file, page_model, page_wine
from wine_ui.recovery import guarded

HERE = Path(__file__).parent

st.set_page_config(page_title="Wine quality", page_icon="🍷", layout="wide")
st.html(HERE / "style.css")
pages = [
    st.Page(guarded(page_wine.show), title="Score a wine", icon=":material/wine_bar:", url_path="score", default=True),
    st.Page(guarded(page_file.show), title="Score a file", icon=":material/table:", url_path="file"),
    st.Page(guarded(page_model.show), title="About the model", icon=":material/info:", url_path="about"),
]
chosen = st.navigation(pages, position="hidden")
with st.container(key="navigation", horizontal=True):  # Streamlit's own is a sign without words on a phone
    for page in pages:
        st.page_link(page)
st.html(HERE / "page.html", unsafe_allow_javascript=True)
chosen.run()
