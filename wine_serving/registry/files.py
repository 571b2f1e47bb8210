"""Files of versions: their digests, and writing that is never seen half done."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from wine_serving.errors import DigestMismatch, RegistryError


def digest_files(directory: Path) -> dict[str, str]:
    """Path inside `directory` (with forward slashes) → SHA-256, sorted by path."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def digest_of(files: Mapping[str, str]) -> str:
    """One SHA-256 for a whole version, from `digest_files`."""
    return hashlib.sha256("".join(f"{sha}  {path}\n" for path, sha in sorted(files.items())).encode()).hexdigest()


def files_to_publish(directory: Path, name: str) -> dict[str, str]:
    """The files of `directory` by `digest_files`; RegistryError when there are none."""
    files = digest_files(directory)
    if not files:
        raise RegistryError(f"{directory} holds no file: there is nothing to publish as {name}")
    return files


def check_files(directory: Path, files: Mapping[str, str], sentence: str) -> None:
    """DigestMismatch with `sentence` when `directory` does not hold exactly `files`."""
    if digest_files(directory) != files:
        raise DigestMismatch(sentence)


def make_folder(folder: Path, remedy: str) -> Path:
    """`folder`, made where it was missing; RegistryError with the remedy when it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RegistryError(f"{folder} cannot be written: {error.strerror}; {remedy}") from None
    return folder


def write_whole(path: Path, text: str) -> None:
    """Write `path` whole or not at all; of several writers the last one stands."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
