"""Processes of their own that need not import anything: each is a fork of one that has imported it all.

What starts in tens, to be killed at another place each time or with other variables, costs a tenth so.

python -m tests.forked SOCKET MODULE…   imports them, then forks for each connection, and tells its pid and return code
"""

import atexit
import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Never, Self

PR_SET_PDEATHSIG = 1  # of prctl(2)
ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 600.0  # seconds; a test has a limit of its own


class Fork:
    """A process that runs; as far as tests need it, it is like subprocess.Popen."""

    def __init__(self, address: str, asked: Mapping[str, object], said: Path) -> None:
        self._connection, self._said = socket.socket(socket.AF_UNIX), said
        self._connection.connect(address)
        self._told = self._connection.makefile("rw")
        print(json.dumps(asked), file=self._told, flush=True)
        self.pid = int(self._told.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The return code, if it has ended."""
        self._connection.setblocking(False)
        try:
            ended = self.returncode is None and self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        finally:
            self._connection.setblocking(True)
        return self.wait() if ended else self.returncode

    def kill(self) -> None:
        """At once."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """The return code, which is negative for who was killed."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            self.returncode = int(self._told.readline())
            self._told.close()
            self._connection.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has said on stdout and on stderr, once it has ended."""
        self.wait(timeout)
        return (self._said / "stdout").read_text(), (self._said / "stderr").read_text()


class Forks:
    """The process that has imported the modules, while tests need its forks."""

    def __init__(self, *modules: str, **variables: str) -> None:
        self._place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # a fork may just be writing
        self._address = f"{self._place.name}/socket"
        self.kernels = Path(self._place.name) / "jupyter"  # as JUPYTER_PATH it makes kernels of notebooks forks, too
        kernel = [sys.executable, "-I", "-S", str(ROOT / "tests" / "forked_kernel.py"), self._address]
        spec = {"argv": [*kernel, "-f", "{connection_file}"], "display_name": "A fork", "language": "python"}
        (self.kernels / "kernels" / "python3").mkdir(parents=True)
        (self.kernels / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
        command = [sys.executable, "-m", "tests.forked", self._address, *modules]
        given = os.environ | variables
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=given)
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def start(self, script: str, *arguments: str, env: dict[str, str], cwd: Path = ROOT) -> Fork:
        """What `python -c SCRIPT ARGUMENTS…` does, in a fork with no other variables than `env`."""
        said = Path(tempfile.mkdtemp(dir=self._place.name))
        asked = {"script": script, "argv": ["-c", *arguments], "env": env, "cwd": str(cwd), "said": str(said)}
        return Fork(self._address, asked, said)

    def run(
        self, script: str, *arguments: str, env: dict[str, str], cwd: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        """The same, once it has ended."""
        fork = self.start(script, *arguments, env=env, cwd=cwd)
        said = fork.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(["-c", *arguments], fork.wait(), *said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._process.terminate()  # all forks end with it
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        self._place.cleanup()


def end_with_parent() -> None:
    """Be killed when the process that forked this one has ended: some kernels never come to their end by themselves."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def look_after(connection: socket.socket) -> Never:
    """Start what is asked for, and tell how it ended."""
    end_with_parent()
    told = connection.makefile("rw")
    asked = json.loads(told.readline())
    child = os.fork()
    if child == 0:
        become(**asked)
    print(child, file=told, flush=True)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(BrokenPipeError):  # nobody waits for it any more
        print(code, file=told, flush=True)
    os._exit(0)


def become(script: str, argv: Sequence[str], env: dict[str, str], cwd: str, said: str) -> Never:
    """Be that process, in a session of its own."""
    end_with_parent()
    os.setsid()
    atexit._clear()  # noqa: SLF001 - what is to be done when the forked process ends, as to remove its folders, is its own
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]  # noqa: SLF001 - by the next, anew
    for number, name in enumerate(("stdout", "stderr"), 1):
        os.dup2(os.open(f"{said}/{name}", os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ |= env
    sys.argv[:] = argv
    code = 0
    try:
        exec(compile(script, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as `python -c` does
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except BaseException:  # noqa: BLE001 - it ends here
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()  # noqa: SLF001 - by no other name
    sys.stdout.flush()
    os._exit(code)  # without taking down, object by object, all that was imported


def main(address: str, *modules: str) -> None:
    """Fork whenever somebody asks."""
    for name in modules:
        import_module(name)
    gc.freeze()  # no fork need search that for garbage
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                look_after(connection)
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    continue  # who has ended before is gone for good


if __name__ == "__main__":
    main(*sys.argv[1:])
