"""The way to the service: proxies and certificates, as the environment has them; none to this very machine."""

import ipaddress
import os
import re
import ssl
import urllib.request
from typing import Any, Final

import httpx

from wine_ui.settings import SettingsError

CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
UNUSABLE: Final = (ImportError, OSError, ValueError, httpx.InvalidURL)  # what httpx says of such variables


def connect(address: str, **given: Any) -> httpx.Client:
    """A client that asks this very machine without any proxy, and others as the environment says."""
    variables = on_the_way(address)
    secure = address.startswith("https:")
    try:
        certificates = (
            True if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )  # httpx would read files for http, too
        way = httpx.HTTPTransport(verify=certificates, proxy=_proxy(address))
        return httpx.Client(base_url=address, transport=way, **given)
    except UNUSABLE as error:
        raise SettingsError(f"{' or '.join(variables)} cannot be used ({error}): correct or unset it") from None


def _proxy(address: str) -> str | None:
    """The proxy that the environment names for the address; httpx cannot read every NO_PROXY that others can."""
    url, named = httpx.URL(address), urllib.request.getproxies_environment()
    proxy = named.get(url.scheme) or named.get("all")
    direct = {"no": re.sub(r"\*(?=\.)|[\[\]]", "", named.get("no", ""))}
    passed_by = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined] # missing in typeshed
    if proxy is None or _is_here(url.host) or passed_by(url.host, direct):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def on_the_way(address: str) -> list[str]:
    """The variables that decide how the address is reached."""
    url = httpx.URL(address)
    names = [] if _is_here(url.host) else [f"{url.scheme.upper()}_PROXY", "ALL_PROXY", "NO_PROXY"]
    names += CERTIFICATES if url.scheme == "https" else []
    return [each for name in names for each in (name, name.lower()) if os.environ.get(each)]


def _is_here(host: str) -> bool:
    """Whether a host is this very machine."""
    try:
        place = ipaddress.ip_address(host)
    except ValueError:
        return f".{host.rstrip('.')}".endswith(".localhost")
    return place.is_loopback or place.is_unspecified
