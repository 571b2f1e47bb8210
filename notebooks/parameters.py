"""What a notebook declares in its `parameters` cell, and which values are refused."""

import ast
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional

import redaction
from pydantic import Field, TypeAdapter, ValidationError

VOCABULARY = {"Annotated": Annotated, "Field": Field, "Literal": Literal, "Optional": Optional}  # of annotations
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None}


class Refused(Exception):
    """A parameter that the notebook does not have, or a value that it does not take."""


class Parameter(NamedTuple):
    """A parameter as its notebook declares it: `annotation` is the source text, `adapter` checks values."""

    annotation: str
    default: Any
    help: str
    adapter: TypeAdapter[Any]


def declared(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook: from its one `parameters` cell, with the types that its `types` cell names."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]  # nbformat takes a while to be imported
    tagged = {
        tag: ["".join(cell["source"]) for cell in cells if tag in cell["metadata"].get("tags", [])]
        for tag in ("parameters", "types")
    }
    if len(tagged["parameters"]) != 1:
        raise Refused(f"{notebook.name} has {len(tagged['parameters'])} cells tagged `parameters`: it must have one")
    types = {name: text for source in tagged["types"] for name, text in named_types(source, notebook.parent).items()}
    source = tagged["parameters"][0]
    return {
        node.target.id: _parameter(node, types, source.splitlines()[node.end_lineno - 1][node.end_col_offset :])
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value and node.end_lineno
    }


def named_types(source: str, folder: Path) -> dict[str, str]:
    """The types that a cell names, as source text, or takes from a file in `folder`."""
    found = {}
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = ast.unparse(value)
            case ast.ImportFrom(module=module, names=names) if (file := folder / f"{module}.py").is_file():
                there = named_types(file.read_text(encoding="utf-8"), folder)
                found |= {each.name: there[each.name] for each in names if each.name in there}
    return found


def _parameter(node: ast.AnnAssign, types: dict[str, str], comment: str) -> Parameter:
    annotation = types.get(name := ast.unparse(node.annotation), name)
    adapter: TypeAdapter[Any] = TypeAdapter(eval(annotation, dict(VOCABULARY)))  # noqa: S307 - our own notebook's words
    default = ast.literal_eval(node.value or ast.Constant(None))
    return Parameter(annotation, default, comment.strip(" #"), adapter)


def as_declared(parameter: Parameter, text: str) -> Any:
    """What a person means who types `text`: the text where the notebook takes it, else a number or one of WORDS.

    Nothing typed is None where the notebook takes that. What it does not take at all is left as it was typed, to be
    refused, unless it is plainly a number or a truth.
    """
    plainly: Any = text
    for read in (nothing, str, whole, finite, lambda word: WORDS[word.lower()]):
        try:
            value = read(text)
            if str(value) == text or (isinstance(value, bool) and str(value).lower() == text.lower()):
                plainly = value
            return parameter.adapter.validate_python(value, strict=True)
        except (ValueError, KeyError):
            continue
    return plainly


def nothing(text: str) -> None:
    """None for no text, and ValueError for any."""
    if text:
        raise ValueError


def finite(text: str) -> float:
    """A number, but none that no report can hold."""
    if not math.isfinite(number := float(text)):
        raise ValueError
    return number


def whole(text: str) -> int:
    """A whole number, also one that is written as 1e3 or 7.0."""
    try:
        return int(text)
    except ValueError:
        if not (number := float(text)).is_integer():
            raise
        return int(number)


def assigned(typed: dict[str, str], notebooks: Iterable[Path]) -> dict[Path, dict[str, Any]]:
    """Notebook → what was typed for it: `STEM.NAME` is for one, a bare `NAME` for all that have it.

    Refused where no notebook has it, and where a bare name means different things: where they declare it differently.
    """
    declarations = {notebook: declared(notebook) for notebook in notebooks}
    given: dict[Path, dict[str, Any]] = {notebook: {} for notebook in declarations}
    for typed_name, text in sorted(typed.items(), key=lambda item: "." in item[0]):  # what is for one is said last
        one, _, name = typed_name.rpartition(".")
        asked = [notebook for notebook in declarations if one in ("", notebook.stem)]
        if not asked:
            there = ", ".join(notebook.stem for notebook in declarations)
            raise Refused(f"{typed_name} is for {one}, which this command does not run; it runs {there}")
        has = {notebook: declarations[notebook][name] for notebook in asked if name in declarations[notebook]}
        if not has:
            checked(asked[0], {name: text})  # refused, naming what there is
        if len({(parameter.annotation, parameter.help) for parameter in has.values()}) > 1:
            choices = ", ".join(f"{notebook.stem}.{name} ({parameter.help})" for notebook, parameter in has.items())
            raise Refused(f"{name} means different things to the notebooks of this command: give one of {choices}")
        for notebook, parameter in has.items():
            given[notebook][name] = as_declared(parameter, text)
    return given


def checked(notebook: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The given parameters, or Refused: an unknown name, a wrong type, an impossible value, or a secret."""
    known = declared(notebook)
    for name, value in given.items():
        if redaction.is_secret(name, value):
            raise Refused(f"{name} looks like a secret: parameters are kept in reports; use an environment variable")
        if isinstance(value, str) and value != value.encode(errors="replace").decode():
            raise Refused(f"{notebook.stem}: {name}={value!r} is refused: it is no text in UTF-8")
        if name not in known:
            raise Refused(f"{notebook.stem} has no parameter {name}; it has {', '.join(known)}")
        try:
            known[name].adapter.validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise Refused(
                f"{notebook.stem}: {name}={value!r} is refused: {reason} "
                f"({name}: {known[name].annotation} = {known[name].default!r}, {known[name].help})"
            ) from None
    return given
