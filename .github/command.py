"""What the scripts share: their commands by name, programs that they ask, and how they end."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

SECONDS: Final = 900


class FailedError(Exception):
    """What was wrong, where, and what to do next; `code` is how the script then exits."""

    code = 1


def run(description: str | None, commands: Mapping[str, Callable[[], None]]) -> int:
    """Run the command that was typed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=[*commands])
    try:
        commands[parser.parse_args().command]()
    except FailedError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return error.code
    return 0


def output(*words: str) -> str:
    """What a program prints, or a FailedError with its complaint."""
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=SECONDS)
    except FileNotFoundError:
        raise FailedError(f"{words[0]} is not on PATH: install it, and log in with it") from None
    except subprocess.TimeoutExpired:
        raise FailedError(f"`{' '.join(words)}` did not end within {SECONDS} s") from None
    if done.returncode:
        raise FailedError(f"`{' '.join(words)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def say(text: str) -> None:
    """One line of the log, at once."""
    print(text, flush=True)
