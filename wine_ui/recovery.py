"""When something is wrong: a sentence, what to do, and a way on. And the one client that all visitors share."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import streamlit as st

from wine_ui.client import ApiError, Client, NotReady, Unreachable, WrongKey
from wine_ui.settings import Settings, SettingsError

EVERY = 2.0  # seconds between two looks whether the service is back


@st.cache_resource(on_release=Client.close)
def client() -> Client:
    """The client of the API that the environment names."""
    return Client(Settings.from_environment())


@st.cache_data(ttl=60, show_spinner=False)
def _schema() -> dict[str, Any]:
    return client().schema()


def schema() -> dict[str, Any]:
    """The form's content, asked again each minute; while the service is away, what this visitor saw of it last."""
    try:
        st.session_state.schema = _schema()
    except (Unreachable, NotReady):
        if "schema" not in st.session_state:
            raise
    known: dict[str, Any] = st.session_state.schema
    return known


def forget() -> None:
    """Have the form's content asked again: the model has changed."""
    _schema.clear()


def guarded(page: Callable[[], None]) -> Callable[[], None]:
    """A page that says what is wrong instead of failing."""

    @wraps(page)
    def show() -> None:
        try:
            page()
        except ApiError as error:
            excuse(error, lambda: None)
        except SettingsError as error:
            st.error(f"This page is not set up: {error}")

    return show


def excuse(error: ApiError, again: Callable[[], None]) -> None:
    """Say what is wrong and what to do; `again` is done by a button, or by itself when the service is back."""
    st.error(f"**{error}** {error.advice}", icon=":material/cloud_off:")
    if st.button("Try again", icon=":material/refresh:"):
        _retry(again)
    if isinstance(error, Unreachable | NotReady | WrongKey):
        _wait(again)


@st.fragment(run_every=EVERY)
def _wait(again: Callable[[], None]) -> None:
    try:
        client().schema()
    except ApiError:
        st.caption("Looking again every few seconds …")
        return
    _retry(again)


def _retry(again: Callable[[], None]) -> None:
    forget()
    again()
    st.rerun()
