"""What every settings class of a recipe is: frozen, and strict about what it is given.

Settings of a kind belong to that kind: where a recipe chooses among several (engines, judges, strategies of the search), each is a class of
its own, and one field of each, a literal, says which one it is.  A key of another kind is then an unknown key.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Discriminator, ValidationInfo, field_validator

_MOST = 1 << 63


class Settings(BaseModel):
    """Unknown keys are errors; so are infinities, `true` for a number, and numbers beyond 64 bits."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    ELSEWHERE: ClassVar[Mapping[str, str]] = {}
    """Keys that one might look for here, and where they are."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_in_disguise(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("is true or false, where another value is wanted")
        if isinstance(value, int) and abs(value) >= _MOST:
            raise ValueError("is beyond any use")
        return value


def by(key: str, usual: str) -> Discriminator:
    """Tells the classes of a union apart, each tagged with what it says under this key; `usual` where nothing is said."""

    def said(value: Any) -> str | None:
        if isinstance(value, dict):
            return str(value.get(key, usual))
        return getattr(value, key, None)

    return Discriminator(said)


def kinds_in(annotation: Any) -> dict[str, type[Settings]]:
    """The settings classes in a field's type: by the kind that each is for; a single class under the empty name."""
    found = list(_classes_in(annotation))
    return {"" if len(found) == 1 else tag_of(each)[1]: each for each in found}


def tag_of(kind: type[Settings]) -> tuple[str, str]:
    """The field that says which kind this is, and what it says; empty where the class is the only one."""
    fields = ((name, typing.get_args(field.annotation)) for name, field in kind.model_fields.items())
    return next(((name, str(values[0])) for name, values in fields if len(values) == 1 and isinstance(values[0], str)), ("", ""))


def _classes_in(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias) and issubclass(annotation, Settings):
        yield annotation
        return
    for inner in typing.get_args(annotation):
        yield from _classes_in(inner)
