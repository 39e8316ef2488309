"""Which data, and how it is split, as it stands in a recipe: a class a kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from usbrec.settings import Settings, by


class RowSettings(Settings):
    """How many rows there are at most, and which."""

    train_rows: int | None = Field(default=None, gt=0)
    """At most so many training rows, drawn by key; null: all.  The likes of all training dialogues stay."""
    valid_rows: int | None = Field(default=None, gt=0)
    """At most so many rows to tune on."""
    test_rows: int | None = Field(default=None, gt=0)
    """At most so many rows to report on."""
    seed: int = 0
    """Of the split and of the samples."""

    def limit(self, split: str) -> int | None:
        """Of a split's rows."""
        return {"train": self.train_rows, "valid": self.valid_rows, "test": self.test_rows}[split]


class DemoSettings(RowSettings):
    """`demo`: the bundled world; `seed` draws its dialogues, too."""

    kind: Literal["demo"] = "demo"


class SplitSettings(RowSettings):
    """Data that is published with a split."""

    split: Literal["official", "dialogue"] = "official"
    """`official`: as published, where a split is (else drawn by dialogue); `dialogue`: all rows split anew, 80/10/10 by dialogue (the
    split of OpenDialKG's processed files is by row and leaks)."""


class RedialSettings(SplitSettings):
    """`redial`: its authors' files (where these lie there) or iEvaLM's processed ones."""

    kind: Literal["redial"] = "redial"


class OpenDialKGSettings(SplitSettings):
    """`opendialkg`: its authors' files (where these lie there) or iEvaLM's processed ones."""

    kind: Literal["opendialkg"] = "opendialkg"


class CustomSettings(SplitSettings):
    """`custom`: a folder in this package's own format."""

    kind: Literal["custom"] = "custom"


DataConfig = Annotated[
    Annotated[DemoSettings, Tag("demo")]
    | Annotated[RedialSettings, Tag("redial")]
    | Annotated[OpenDialKGSettings, Tag("opendialkg")]
    | Annotated[CustomSettings, Tag("custom")],
    by("kind", "demo"),
]
