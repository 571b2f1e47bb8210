"""The machine around us: loopback without a proxy, a terminal that takes any text, and which variable is broken.

Nothing here is asked before something has failed: what is not used is not judged.
"""

import importlib.util
import os
import ssl
import sys
import tempfile
from io import TextIOWrapper
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wine_serving.errors import SettingsError

LOOPBACK: Final = ("localhost", "127.0.0.1")
KEY_LOG: Final = "SSLKEYLOGFILE"
CERTIFICATES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES: Final = tuple(each for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") for each in (name, name.lower()))


def replace_what_cannot_be_shown() -> None:
    """Let a terminal or file of another encoding show a question mark where it lacks a character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def keep_loopback_direct() -> None:
    """No proxy is asked for this very machine, by this process and those that it starts."""
    for name in ("no_proxy", "NO_PROXY"):  # some programs read the one, some the other
        given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        listed = [each.strip() for each in given.split(",") if each.strip()]
        os.environ[name] = ",".join([*listed, *(each for each in LOOPBACK if each not in listed)])


def home() -> Path:
    """The user's own folder; SettingsError where there is none, as in a container that runs as a number."""
    try:
        return Path.home()
    except RuntimeError:
        raise SettingsError("HOME is not set, and this user has no other: let HOME name a folder of yours") from None


def can_be_written(path: Path) -> bool:
    """Whether this user may write there, or make it where it is missing."""
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    return os.access(there, os.W_OK) and (there == path or there.is_dir())


def temporary_folder() -> str:
    """A folder of this project's among temporary files; SettingsError where none can be written."""
    try:
        return str(Path(tempfile.gettempdir(), "wine-quality"))
    except FileNotFoundError:
        given = os.environ.get("TMPDIR", "")
        raise SettingsError(
            f"no folder for temporary files can be written (TMPDIR={given}): let TMPDIR name one that can"
        ) from None


def broken_network() -> str:
    """What of the network's settings cannot be used, and what to do; empty where all look right."""
    found = [(name, what_is_wrong_with_certificates(os.environ.get(name))) for name in CERTIFICATES]
    found += [(name, what_is_wrong_with_a_proxy(os.environ.get(name))) for name in PROXIES]
    if (log := os.environ.get(KEY_LOG)) and not can_be_written(Path(log)):
        found.append((KEY_LOG, f"names {log}, which cannot be written"))
    return "; ".join(f"{name} {wrong}: correct or unset it" for name, wrong in found if wrong)


def in_use(*names: str) -> str:
    """Those of the variables that are set, as a remark behind what has failed."""
    given = [name for name in names if os.environ.get(name)]
    return f"as {' and '.join(given)} say" + "s" * (len(given) == 1) if given else ""


def what_is_wrong_with_certificates(place: str | None) -> str:
    """Empty for a file or folder of certificates, and for none."""
    if not place:
        return ""
    if not Path(place).exists():
        return f"names {place}, which is not there"
    if Path(place).is_file():
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(place)
        except (OSError, ValueError):
            return f"names {place}, which holds no certificates"
    return ""


def what_is_wrong_with_a_proxy(address: str | None) -> str:
    """Empty for one that can be asked, and for none; the address is not told, as it may hold a password."""
    if not address:
        return ""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.scheme not in ("http", "https", "socks4", "socks4a", "socks5", "socks5h"):
        return "holds no address of a proxy, such as http://HOST:PORT"
    if parts.scheme.startswith("socks") and not importlib.util.find_spec("socks"):
        return "names a SOCKS proxy, for which this environment has no program"
    return ""
