"""Processes of their own that need not import anything: each is a fork of one that has imported it all.

What starts in tens, to be killed at another place each time or with other variables, costs a tenth so.

python -m tests.forked MODULE…   imports them, then forks for each line of stdin, and answers with its return code
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Never, Self

ROOT = Path(__file__).resolve().parents[1]


class Forks:
    """The process that has imported the modules, while a test needs its forks."""

    def __init__(self, *modules: str) -> None:
        command, pipe = [sys.executable, "-m", "tests.forked", *modules], subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    def run(
        self, script: str, *arguments: str, env: dict[str, str], cwd: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        """What `python -c SCRIPT ARGUMENTS…` does in a fork; it has no other variables than `env`."""
        assert self._process.stdin
        assert self._process.stdout
        with tempfile.TemporaryDirectory() as place:
            said = [f"{place}/{name}" for name in ("stdout", "stderr")]
            asked = {"script": script, "argv": ["-c", *arguments], "env": env, "cwd": str(cwd), "said": said}
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(["-c", *arguments], code, *(Path(each).read_text() for each in said))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._process.communicate()


def answer(line: str) -> int:
    """Fork, and wait: the return code, which is negative for who was killed."""
    child = os.fork()
    if child == 0:
        become(**json.loads(line))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def become(script: str, argv: Sequence[str], env: dict[str, str], cwd: str, said: Sequence[str]) -> Never:
    """Be that process; what it registers for its end is left out."""
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ |= env
    sys.argv[:] = argv
    sys.stdin.close()
    code = 0
    try:
        exec(compile(script, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as `python -c` does
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - it ends here
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)  # without taking down, object by object, all that was imported


if __name__ == "__main__":
    for name in sys.argv[1:]:
        import_module(name)
    for each in sys.stdin:
        sys.stdout.write(f"{answer(each)}\n")
        sys.stdout.flush()
