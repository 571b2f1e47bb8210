"""When something is wrong: a sentence, what to do, and a way on."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Final

import streamlit as st

from wine_ui import connection
from wine_ui.client import ApiError, NotReady, Unreachable, WrongKey
from wine_ui.settings import SettingsError

_log = logging.getLogger(__name__)
EVERY: Final = 2.0  # seconds between two looks whether the service is back


def guarded(page: Callable[[], None]) -> Callable[[], None]:
    """A page that says what is wrong instead of failing."""

    @wraps(page)
    def show() -> None:
        try:
            page()
        except ApiError as error:
            excuse(error, lambda: None)
        except SettingsError as error:
            note(str(error))
            st.error("**This page is not set up yet.** Whoever runs it finds the reason in its log.")

    return show


def note(reason: str) -> None:
    """Write down for whoever runs the page why there is no answer, once for each visitor and reason."""
    if reason and st.session_state.get("noted") != reason:
        _log.warning(reason)
    st.session_state.noted = reason


def excuse(error: ApiError, again: Callable[[], None]) -> None:
    """Say what is wrong and what to do; `again` is done by a button, or by itself when the service is back."""
    note(error.reason)
    st.error(f"**{error}** {error.advice}", icon=":material/cloud_off:")
    if st.button("Try again", icon=":material/refresh:"):
        _retry(again)
    if isinstance(error, Unreachable | NotReady | WrongKey):
        _wait(again)


@st.fragment(run_every=EVERY)
def _wait(again: Callable[[], None]) -> None:
    try:
        connection.client().schema()
    except ApiError:
        st.caption("Looking again every few seconds …")
        return
    _retry(again)


def _retry(again: Callable[[], None]) -> None:
    connection.forget()
    again()
    st.rerun()
