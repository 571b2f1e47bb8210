"""The registry between two runs on GitHub: assets of the release tagged `registry`, each a whole registry.

    python3 .github/registry_asset.py restore   the newest whole asset becomes the registry's folder; a fork has none
    python3 .github/registry_asset.py pack      an archive of the registry, with the asset that it began from, beside it
    python3 .github/registry_asset.py save      the archive becomes the newest asset; only the main branch does this

Assets are numbered, and GitHub takes a name once: of two saves that began from one asset the second is refused. Older
ones go only afterwards. Where the registry is W&B (WINE_REGISTRY=wandb:…), W&B remembers, and what is kept is a copy of
what is in production, for pull requests, which get no key. Needs GitHub's `gh`, and packages only to copy from W&B.
"""

import hashlib
import json
import os
import re
import sys
import tarfile
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import command
from command import FailedError, output, say

ROOT: Final = Path(__file__).parents[1]
RELEASE: Final = "registry"
KEPT: Final = 3
UPLOAD_LASTS: Final = timedelta(hours=1)  # at most: what is still unfinished then was left by a save that died
ANEW: Final = f"`gh release delete {RELEASE} --cleanup-tag` begins anew on purpose, with nothing in production"


def gh(*words: str) -> str:
    """What gh prints, or a FailedError with its complaint."""
    try:
        return output("gh", *words)
    except FailedError as error:
        raise FailedError(f"{error}; what is here was left as it was") from None


def find(what: str) -> Any:
    """What GitHub says of something in this repository; None where there is no such thing."""
    try:
        return json.loads(gh("api", f"repos/{{owner}}/{{repo}}/{what}"))
    except FailedError as error:
        if "HTTP 404" in str(error):
            return None
        raise  # a network that fails is no empty release


def assets() -> tuple[list[str], dict[str, datetime]]:
    """The whole assets, newest first, and the unfinished ones with when they were begun."""
    release = find(f"releases/tags/{RELEASE}")
    if release is None:
        if find(f"git/ref/tags/{RELEASE}"):  # deleting a release leaves its tag
            raise FailedError(f"the release `{RELEASE}` has vanished, and its tag is there: restore it, or {ANEW}")
        return [], {}
    whole = [asset["name"] for asset in release["assets"] if asset["state"] == "uploaded"]
    if not whole:
        raise FailedError(f"the assets of the release `{RELEASE}` have vanished: upload a copy, or {ANEW}")
    begun = {asset["name"]: asset["created_at"] for asset in release["assets"] if asset["name"] not in whole}
    unfinished = {name: datetime.fromisoformat(when) for name, when in begun.items()}
    return sorted(whole, key=lambda name: (number(name), name), reverse=True), unfinished


def number(name: str) -> int:
    """The number of an asset; those of before, named by time, are older than all numbered ones."""
    found = re.fullmatch(r"registry-(\d{1,6})\.tar\.gz", name)
    return int(found[1]) if found else 0


def restore(folder: Path, *, remembered: bool) -> str:
    """Put the newest asset that proves whole in the place of `folder`; says which. One that W&B `remembered` stays."""
    whole, _ = assets()
    said = "W&B remembers" if remembered else "nothing is remembered yet: the registry starts empty"
    if whole and not remembered:
        said = f"restored {next((name for name in whole if put_in_place(name, folder)), '')}"
        if said == "restored ":
            raise FailedError(f"none of {', '.join(whole)} is whole; {folder} was left as it was; {ANEW}")
    beside(folder).mkdir(parents=True, exist_ok=True)
    (beside(folder) / "began").write_text(whole[0] if whole else "")
    return said


def put_in_place(name: str, folder: Path) -> bool:
    """Whether the asset is whole: only then it is where `folder` was."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        archive, unpacked, former = (Path(scratch) / part for part in ("archive", "unpacked", "former"))
        gh("release", "download", RELEASE, "--pattern", name, "--output", str(archive))
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(unpacked, filter="data")
            prove(unpacked)
        except (OSError, EOFError, ValueError, KeyError, AttributeError, tarfile.TarError, zlib.error) as error:
            say(f"::warning title=Registry::{name} is not whole ({error}): an older one is taken")
            return False
        if folder.exists():
            folder.rename(former)
        try:
            unpacked.rename(folder)
        except OSError:
            former.rename(folder)
            raise
    return True


def prove(folder: Path) -> None:
    """Every version holds exactly the files that its record names, and every other file is JSON; or a ValueError."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    for file in folder.glob("*/*.json"):
        said = json.loads(file.read_text())
        if re.fullmatch(r"v\d+", file.stem):
            version = file.with_suffix("")
            paths = [path for path in version.rglob("*") if path.is_file()]
            held = {p.relative_to(version).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}
            if held != said["files"]:
                raise ValueError(f"{file.parent.name}:{file.stem} does not hold what was published")


def pack(folder: Path, *, remembered: bool) -> str:
    """An archive of `folder`, once it proves whole; says where."""
    if remembered:
        say(output(sys.executable, "-m", "wine_serving", "production", str(folder)))
    archive = beside(folder) / "registry.tar.gz"
    try:
        prove(folder)
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(folder, ".", filter=lambda member: None if member.name.endswith("/.lock") else member)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise FailedError(f"{folder} is not kept: {error}") from None
    return f"packed {folder} → {archive}"


def save(folder: Path) -> str:
    """Keep the archive as the newest asset; says which."""
    archive, began = beside(folder) / "registry.tar.gz", beside(folder) / "began"
    if not (archive.exists() and began.exists()):
        raise FailedError(f"{archive} is not there: `make restore` at the beginning, `make pack` at the end")
    whole, unfinished = assets()
    for name, when in unfinished.items():
        if datetime.now(UTC) - when < UPLOAD_LASTS:
            raise FailedError(f"another save has begun {name} and not ended: wait, or `gh release delete-asset` it")
        gh("release", "delete-asset", RELEASE, name, "--yes")
    if began.read_text() != (whole[0] if whole else ""):
        raise FailedError("the registry on GitHub changed since it was restored here: restore it and run again")
    new = archive.rename(archive.with_name(f"registry-{number(began.read_text()) + 1:06d}.tar.gz"))
    notes = "What the pipeline remembers between its runs. Written by the workflow on main; do not edit."
    first = ("--prerelease", "--title", "Registry", "--notes", notes)
    try:
        gh("release", *(("upload", RELEASE, str(new)) if whole else ("create", RELEASE, str(new), *first)))
    except FailedError:
        new.rename(archive)
        raise
    new.unlink()
    began.write_text(new.name)
    for old in whole[KEPT - 1 :]:
        gh("release", "delete-asset", RELEASE, old, "--yes")
    return f"saved {new.name}"


def beside(folder: Path) -> Path:
    """Where the archive lies, and the name of the asset that this run began from."""
    return folder.with_name("kept")


if __name__ == "__main__":
    scheme, _, place = (os.environ.get("WINE_REGISTRY") or "folder:artifacts/registry").partition(":")
    kept, elsewhere = ROOT / (place if scheme == "folder" else "artifacts/production"), scheme != "folder"
    said = {
        "restore": lambda: say(restore(kept, remembered=elsewhere)),
        "pack": lambda: say(pack(kept, remembered=elsewhere)),
        "save": lambda: say(save(kept)),
    }
    sys.exit(command.run(__doc__, said))
