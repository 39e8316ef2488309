"""The toy world: six films and a few dialogues in which every score is known by hand.

id    title (year)             genres             director       comparable with
heat  Heat (1995)              crime, drama       Michael Mann   collateral (director; 1/3 genres), casino (all genres)
coll  Collateral (2004)        crime, thriller    Michael Mann   heat (director)
casi  Casino (1995)            crime, drama       Martin Scorsese  heat (all genres)
alien Alien (1979)             horror, sci-fi     Ridley Scott   gate
gate  Event Horizon (1997)     horror, sci-fi     Paul Anderson  alien
toy   Toy Story (1995)         animation, family  John Lasseter  -
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from usbrec.catalogue import Catalogue
from usbrec.cooccurrence import Cooccurrence
from usbrec.linking import Linker
from usbrec.roles import Reply
from usbrec.search import SearchSettings
from usbrec.settings import kinds_in
from usbrec.types import Dialogue, Example, Item

FILMS = (
    Item(id="heat", title="Heat", year=1995, genres=("crime", "drama"), directors=("Michael Mann",), stars=("Al Pacino", "Robert De Niro")),
    Item(id="coll", title="Collateral", year=2004, genres=("crime", "thriller"), directors=("Michael Mann",), stars=("Tom Cruise",)),
    Item(id="casi", title="Casino", year=1995, genres=("crime", "drama"), directors=("Martin Scorsese",), stars=("Robert De Niro",)),
    Item(id="alien", title="Alien", year=1979, genres=("horror", "sci-fi"), directors=("Ridley Scott",), stars=("Sigourney Weaver",)),
    Item(id="gate", title="Event Horizon", year=1997, genres=("horror", "sci-fi"), directors=("Paul Anderson",), stars=("Sam Neill",)),
    Item(id="toy", title="Toy Story", year=1995, genres=("animation", "family"), directors=("John Lasseter",), stars=("Tom Hanks",)),
)
CATALOGUE = Catalogue(FILMS)
LINKER = Linker(CATALOGUE)
LIKES = (("heat", "coll", "casi"), ("heat", "casi"), ("alien", "gate"), ("alien", "gate", "heat"), ("toy",), ("toy", "heat"))
COOCCURRENCE = Cooccurrence(LIKES)


def dialogue(*texts: str, first: str = "seeker") -> Dialogue:
    """Alternating messages."""
    said = Dialogue()
    side = first
    for text in texts:
        said = said.say(side, text)  # type: ignore[arg-type]
        side = "recommender" if side == "seeker" else "seeker"
    return said


def example(key: str = "d1:1", text: str = "I loved Heat (1995). What else is there?", targets: tuple[str, ...] = ("casi",)) -> Example:
    said = dialogue(text)
    return Example(
        key=key, dialogue_id=key.split(":")[0], turn_id=1, dialogue=said, targets=targets,
        reply="You should see Casino (1995).", leaks=LINKER.leaks(said, targets),
    )  # fmt: skip


EXAMPLES = tuple(example(f"d{i}:1") for i in range(4))


@dataclass
class Parrot:
    """A recommender that says given lines: `greedy` when asked for one at temperature 0, `samples` otherwise."""

    greedy: str = "Have you seen Toy Story (1995)?"
    samples: tuple[str, ...] = ()
    asked: list[Dialogue] = field(default_factory=list)

    async def reply(self, dialogue: Dialogue, *, seed: int) -> Reply:
        self.asked.append(dialogue)
        return Reply(text=self.greedy)

    async def sample(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int) -> list[str]:
        self.asked.append(dialogue)
        if temperature == 0:
            return [self.greedy] if self.greedy else []
        return [text for text in self.samples[:n] if text]

    async def sample_scored(self, dialogue: Dialogue, *, n: int, temperature: float, seed: int) -> list[tuple[str, float | None]]:
        return [(text, None) for text in await self.sample(dialogue, n=n, temperature=temperature, seed=seed)]


@dataclass
class Line:
    """A seeker that always says the same."""

    text: str = "Not that one, something else."
    heard: list[Dialogue] = field(default_factory=list)

    async def respond(self, dialogue: Dialogue, *, start: int, seed: int) -> str:
        self.heard.append(dialogue)
        return self.text


def search_settings(**given: object) -> Any:
    """The settings of a search; of these keys those that its strategy has."""
    known = kinds_in(SearchSettings)[str(given.get("strategy", "tree"))].model_fields
    return TypeAdapter(SearchSettings).validate_python({key: value for key, value in given.items() if key in known})
