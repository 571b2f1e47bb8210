"""The one client that all visitors share, and what it was told about the form."""

from typing import Any

import streamlit as st

from wine_ui.client import ApiError, Client, NotReady, Schema, Unreachable
from wine_ui.settings import Settings


@st.cache_resource(on_release=Client.close)
def client() -> Client:
    """The client of the API that the environment names."""
    return Client(Settings.from_environment())


@st.cache_data(ttl=60, show_spinner=False)
def _schema() -> Schema:
    return client().schema()


def schema() -> Schema:
    """The form's content, asked again each minute; while the service is away, what this visitor saw of it last."""
    try:
        st.session_state.schema = _schema()
    except (Unreachable, NotReady):
        if "schema" not in st.session_state:
            raise
    known: Schema = st.session_state.schema
    return known


@st.cache_data(ttl=60, show_spinner=False)
def _model() -> dict[str, Any]:
    return client().model()


def model() -> dict[str, Any]:
    """What the service says of its model, asked again each minute; nothing while it says nothing."""
    try:
        return _model()
    except ApiError:
        return {}


def forget() -> None:
    """Have the form's content asked again: the model has changed."""
    _schema.clear()
    _model.clear()
