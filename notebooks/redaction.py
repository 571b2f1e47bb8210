"""Nothing that is written or printed for people shows a secret of the environment."""

import html
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wine_serving.registry.files import write_whole

NAME: Final = re.compile(r"(^|_)(api_?key|key|token|secret|password|passwd|credentials?|pat)($|_)", re.IGNORECASE)
VALUE: Final = re.compile(
    r"[0-9a-f]{40}|gh[pousr]_\w{20,}|github_pat_\w+|sk-\w{20,}|AKIA\w{16}|wandb_v1_\w+|AIza[\w-]{30,}"
)
IN_ADDRESS: Final = re.compile(r"//[^/\s:@]*:([^/\s@]+)@")  # https://user:PASSWORD@proxy
SHORTEST: Final = 6  # what is shorter stands in too many words to be taken out of them


def is_secret(name: str, value: object) -> bool:
    """Whether a variable or parameter looks like one, by its name or by its value."""
    return bool(NAME.search(name)) or (isinstance(value, str) and VALUE.fullmatch(value) is not None)


def secrets(environment: Mapping[str, str]) -> set[str]:
    """What must not be shown: whole values, their longer lines, and the passwords in addresses."""
    found: set[str] = set()
    for name, value in environment.items():
        if is_secret(name, value):
            found |= {value.strip(), *(line.strip() for line in value.splitlines() if len(line) > 2 * SHORTEST)}
        found |= {*IN_ADDRESS.findall(value)}
    return {each for each in found if len(each) >= SHORTEST}


def redacted(text: str) -> str:
    """The text without the environment's secrets, however JSON or HTML writes them."""
    for secret in sorted(secrets(os.environ), key=len, reverse=True):
        in_json = [json.dumps(secret, ensure_ascii=escaped)[1:-1] for escaped in (True, False)]
        for form in (secret, *in_json, html.escape(secret)):
            text = text.replace(form, "[redacted]")
    return text


def write(path: Path, text: str) -> None:
    """Write a report, whole or not at all."""
    write_whole(path, redacted(text))
