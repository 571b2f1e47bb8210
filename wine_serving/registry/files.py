"""Files of versions: their digests, and writing that is never seen half done."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from wine_serving.errors import DigestMismatch, RegistryError

T = TypeVar("T")

_FULL: Final = "free some space there and run this again"
_REFUSED: Final = "let this user read and write there"
REMEDIES: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _REFUSED,
    errno.EPERM: _REFUSED,
    errno.EROFS: _REFUSED,
}


@contextlib.contextmanager
def on_disk(folder: Path, variable: str = "WINE_REGISTRY") -> Iterator[None]:
    """RegistryError with a remedy for what the disk refuses below `folder`, which `variable` names."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "see whether that disk is in order")
        where = error.filename or folder
        raise RegistryError(f"{where}: {error.strerror or error}; {remedy}, or choose another {variable}") from None


@contextlib.contextmanager
def one_writer(folder: Path, variable: str = "WINE_REGISTRY") -> Iterator[None]:
    """`folder`, made where it was missing, for one writer at a time, without what killed ones left there."""
    with on_disk(folder, variable):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            for left in (*folder.glob(".staging-*"), *folder.glob(".*.new")):
                remove(left)
            yield


def digest_files(directory: Path) -> dict[str, str]:
    """Path inside `directory` (with forward slashes) → SHA-256, sorted by path."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def digest_of(files: Mapping[str, str]) -> str:
    """One SHA-256 for a whole version, from `digest_files`."""
    return hashlib.sha256("".join(f"{sha}  {path}\n" for path, sha in sorted(files.items())).encode()).hexdigest()


def files_to_publish(directory: Path, name: str) -> dict[str, str]:
    """The files of `directory` by `digest_files`; RegistryError when there are none, or links that lead elsewhere."""
    with on_disk(directory, "folder"):
        for link in (path for path in directory.rglob("*") if path.is_symlink()):
            raise RegistryError(f"{link} is a link, and a version holds files: put a copy of what it leads to there")
        files = digest_files(directory)
    if not files:
        raise RegistryError(f"{directory} holds no file: there is nothing to publish as {name}")
    return files


def check_files(directory: Path, digest: str, sentence: str) -> None:
    """DigestMismatch with `sentence` when `directory` does not hold exactly the files of this digest."""
    if digest_of(digest_files(directory)) != digest:
        raise DigestMismatch(sentence)


@contextlib.contextmanager
def filling(directory: Path, digest: str, sentence: str) -> Iterator[Path]:
    """A folder to fill, which takes the place of `directory` once `check_files` finds nothing wrong with it."""
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=directory.parent) as staging:
        files = Path(staging) / "files"
        yield files
        check_files(files, digest, sentence)
        remove(directory)
        put_in_place(files, directory)


def read_json(path: Path, kind: TypeAdapter[T], remedy: str) -> T | None:
    """What `path` holds, None where there is no such file; RegistryError with the remedy for anything else."""
    try:
        return kind.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"]
    raise RegistryError(f"{path} cannot be read ({why}): {remedy}")


def write_whole(path: Path, text: str) -> None:
    """Write `path` whole or not at all; of several writers the last one stands."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_text(text, encoding="utf-8")
        put_in_place(new, path)
    finally:
        new.unlink(missing_ok=True)


def put_in_place(new: Path, path: Path) -> None:
    """Rename a file or folder once its bytes are on the disk, so that not even a power cut leaves half of it."""
    for each in (*new.rglob("*"), new):
        _synchronize(each)
    new.replace(path)
    _synchronize(path.parent)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _synchronize(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
