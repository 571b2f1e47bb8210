"""A file system whose files may end the process that reads them: fsspec knows it as `deadly:`.

A file is read in peace once, as when it is looked through. Then each reading takes one of the lives that `PATH.deaths`
counts, and the process with it, as if it had been killed from outside.
"""

import os
import signal
from pathlib import Path
from typing import Any, Final

import fsspec
from distributed import Worker, WorkerPlugin
from fsspec.implementations.local import LocalFileSystem

PROTOCOL: Final = "deadly"


class Deadly(LocalFileSystem):  # type: ignore[misc] # fsspec comes without types
    """Files of this machine."""

    protocol = PROTOCOL

    @classmethod
    def _strip_protocol(cls, path: str) -> Any:
        return super()._strip_protocol(path.removeprefix(f"{PROTOCOL}://"))

    def unstrip_protocol(self, name: str) -> str:
        """The address of a file."""
        return f"{PROTOCOL}://{name}"

    def _open(self, path: str, mode: str = "rb", **given: Any) -> Any:
        deaths = Path(f"{path}.deaths")
        if deaths.is_file() and (left := int(deaths.read_text())) > 0:
            if (peace := Path(f"{path}.peace")).exists():
                deaths.write_text(str(left - 1))
                os.kill(os.getpid(), signal.SIGKILL)
            peace.touch()
        return super()._open(path, mode, **given)


class Knows(WorkerPlugin):  # type: ignore[misc] # as above
    """A worker that knows this file system."""

    name = PROTOCOL

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's signature
        fsspec.register_implementation(PROTOCOL, Deadly, clobber=True)
