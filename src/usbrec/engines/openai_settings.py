"""The settings of an OpenAI-compatible endpoint: where it is, which key it wants, how long and how often it is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from usbrec.errors import ConfigError
from usbrec.redaction import plain_url, variable
from usbrec.settings import Settings


class OpenAISettings(Settings):
    """`openai`: an OpenAI-compatible endpoint."""

    kind: Literal["openai"] = "openai"
    model: str = Field(min_length=1)
    """As the endpoint names it; with vLLM also the name of a LoRA adapter."""
    base_url: Annotated[str, AfterValidator(plain_url)] = "http://127.0.0.1:8000/v1"
    """Up to and with `/v1`; without a user name and password, which belong into the variable of `api_key_env`."""
    api_key_env: Annotated[str, AfterValidator(variable)] = "OPENAI_API_KEY"
    """The environment variable that holds the key; a local server needs none.  The key itself is never written anywhere.  `Basic
    USER:PASSWORD` (or any scheme and its value) is sent as it stands, for a proxy that asks for that."""
    concurrency: int = Field(default=64, ge=1)
    """Most requests under way."""
    timeout_seconds: float = Field(default=300, gt=0)
    """A call must be answered, to the last byte, within this time; further attempts and pauses included."""
    retries: int = Field(default=5, ge=0)
    """Further attempts after 429, 5xx or a cut connection."""
    votes: int = Field(default=16, ge=1)
    """Replies that a judge draws where the endpoint offers no log-probabilities to choose by."""
    first_pause: float = Field(default=0.5, ge=0)
    """Seconds before the second attempt; doubled each time."""

    def identity(self) -> dict[str, Any]:
        """What changes what is said: for fingerprints."""
        return self.model_dump(mode="json", include={"kind", "model", "base_url", "votes"})


def named(where: str, **settings: Any) -> OpenAISettings:
    """An endpoint that is named on the command line.

    Raises:
        ConfigError: its address cannot be used, or the key itself is given.
    """
    try:
        return OpenAISettings(**settings)
    except ValidationError as fault:
        what, _, fix = fault.errors()[0]["msg"].removeprefix("Value error, ").partition("; ")
        raise ConfigError(what, where=where, fix=fix) from None
