"""What is told: structs that msgspec writes, and that FastAPI documents as a TypedDict of the same fields."""

from functools import cache
from typing import Any, NotRequired, get_args, get_type_hints

import msgspec
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema
from typing_extensions import TypedDict


class Told(msgspec.Struct, omit_defaults=True, gc=False):
    """A part of an answer; what may be UNSET is left out of some answers."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """What FastAPI asks for; pydantic never reads or writes one."""
        return handler.generate_schema(typed_dict(cls))


@cache
def typed_dict(told: type, name: str | None = None) -> Any:
    """A struct or a named tuple as the JSON object that is made of it, under its own name or another."""
    fields = {field: NotRequired[get_args(kind)[0]] if msgspec.UnsetType in get_args(kind) else kind
              for field, kind in get_type_hints(told).items()}  # fmt: skip
    made: Any = TypedDict(name or told.__name__, fields)  # type: ignore[misc]
    made.__doc__, made.__module__ = told.__doc__, told.__module__
    return made
