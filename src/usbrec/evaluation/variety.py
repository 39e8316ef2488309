"""What an arm's offers are like beside being right: how many different items, how popular, in the catalogue at all, new, how soon, and
whether the years said with them are right.

A recommender can hit by offering everybody the same few titles; these figures tell.  "Offered" is `Turn.items`: pass all arms through
`metrics.keep_new` first, as the report does, and only new items are offers.  Coverage and Gini belong to the arm as a whole and depend on
how many replies it has: compare them between arms on the same rows only.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence

from usbrec.catalogue import Catalogue
from usbrec.errors import DataError
from usbrec.evaluation.metrics import METRICS, Measure, measure, row_values, success_turn
from usbrec.evaluation.rankers import prefixes
from usbrec.linking import GENERIC, Linker
from usbrec.linking.writing import SMALL
from usbrec.roles.catalogue import named_items
from usbrec.titles import words_of
from usbrec.types import Frozen, Outcome

LONGEST_TITLE = 8
"""Words of a quoted passage that may be a title."""

_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”')
_DATED = re.compile(r"(?<![\w'’-])[^\W_][^\s()]*\s*\(((?:18[7-9]|19\d|20[0-3])\d)\)")


class Variety(Frozen):
    """The figures of one arm."""

    arm: str
    rows: int
    offers: int
    """Items offered, each as often as it is offered."""
    coverage: float | None
    """None without any turn."""
    gini: float | None
    """None without any offer."""
    popularity: Measure
    """Mean popularity percentile of a row's offers; rows that offer nothing are `unscored`."""
    off_catalogue: Measure
    """Share of a row's replies that write a title of no item."""
    repetition: Measure
    """Share of a row's turns that offer only items already named."""
    success: Measure
    """Share of rows that hit in any turn: Hit@reply in any turn by another name."""
    success_turn: Measure
    """Number of the first turn that hits, from 1, over the successful rows only: never read it without `success`."""
    years: int = 0
    """Years that the replies say in brackets behind a title that links; 0 in reports of usbrec 0.1."""
    wrong_years: int = 0
    """Of these, those that are not the catalogue's.  Linking repairs them, so no score falls by them."""


def measure_variety(
    outcomes: Sequence[Outcome], catalogue: Catalogue, popularity: Mapping[str, int], linker: Linker, *, seed: int = 0
) -> Variety:
    """All figures of one arm.

    Args:
        outcomes: the arm's rows, one per key.
        popularity: item id -> training dialogues that like it (`Cooccurrence.popularity`).

    Raises:
        DataError: there are no rows, rows of several arms, or an offer that the catalogue does not hold.
    """
    arms = sorted({outcome.arm for outcome in outcomes})
    if len(arms) != 1:
        raise DataError(f"outcomes of several arms in one list: {', '.join(arms)}" if arms else "there are no outcomes to measure")
    ranks = percentiles(catalogue, popularity)
    years = [right for o in outcomes for turn in o.turns for right in linker.years(turn.reply)]
    succeeded = {o.key: float(turn) for o in outcomes if (turn := success_turn(o)) is not None}
    return Variety(
        arm=arms[0],
        rows=len(outcomes),
        offers=offer_counts(outcomes, catalogue).total(),
        coverage=coverage(outcomes, catalogue),
        gini=gini(outcomes, catalogue),
        popularity=measure({o.key: popularity_of(o, ranks) for o in outcomes}, None, seed),
        off_catalogue=measure({o.key: off_catalogue(o, linker) for o in outcomes}, (0, 1), seed),
        repetition=measure({o.key: repetition(o, linker) for o in outcomes}, (0, 1), seed),
        success=measure(row_values(outcomes, METRICS["hit-any"]), (0, 1), seed),
        success_turn=measure(succeeded, None, seed),
        years=len(years),
        wrong_years=years.count(False),
    )


def offer_counts(outcomes: Sequence[Outcome], catalogue: Catalogue) -> Counter[str]:
    """How often each item is offered; only items with at least one offer.

    Raises:
        DataError: the catalogue does not hold an item.
    """
    counts = Counter(item for outcome in outcomes for turn in outcome.turns for item in turn.items)
    if unknown := sorted(item for item in counts if item not in catalogue):
        raise DataError(
            f"{len(unknown)} offered items are not in the catalogue: {', '.join(unknown[:5])}", fix="measure a run with its own catalogue"
        )
    return counts


def coverage(outcomes: Sequence[Outcome], catalogue: Catalogue) -> float | None:
    """Catalogue coverage (Ge et al. 2010): different items offered / items of the catalogue.  None without any turn or any item."""
    if not len(catalogue) or not any(outcome.turns for outcome in outcomes):
        return None
    return round(len(offer_counts(outcomes, catalogue)) / len(catalogue), 6)


def gini(outcomes: Sequence[Outcome], catalogue: Catalogue) -> float | None:
    """The Gini coefficient of the offer counts of *all* n items of the catalogue, those never offered included.

    With counts x_1 <= ... <= x_n: sum over j of (2j - n - 1) x_j / ((n - 1) sum of x) (Shani and Gunawardana 2011): 0 when all items
    are offered equally often, 1 when only one ever is.  None without offers or with fewer than two items.
    """
    counts, n = offer_counts(outcomes, catalogue), len(catalogue)
    if not counts or n < 2:
        return None
    places = range(n - len(counts) + 1, n + 1)  # items never offered add nothing
    spread = sum((2 * place - n - 1) * count for place, count in zip(places, sorted(counts.values()), strict=True))
    return round(spread / ((n - 1) * counts.total()), 6)


def percentiles(catalogue: Catalogue, popularity: Mapping[str, int]) -> dict[str, float]:
    """Item id -> its popularity percentile in 0..1: the share of the catalogue with fewer training likes, half of those with as many added.

    Items that nobody liked count 0 likes.  Offers drawn evenly from the catalogue have the mean 0.5.
    """
    likes = {item.id: popularity.get(item.id, 0) for item in catalogue}
    ordered = sorted(likes.values())
    return {item: (bisect_left(ordered, n) + bisect_right(ordered, n)) / (2 * len(ordered)) for item, n in likes.items()}


def popularity_of(outcome: Outcome, ranks: Mapping[str, float]) -> float | None:
    """Popularity bias of one row: the mean of its offers' `percentiles`, each as often as offered; None where it offers nothing."""
    found = [ranks[item] for turn in outcome.turns for item in turn.items]
    return sum(found) / len(found) if found else None


def off_catalogue(outcome: Outcome, linker: Linker) -> float | None:
    """The share of the row's replies that write a title of no item (`writes_unknown_title`); None where nothing was said."""
    return sum(writes_unknown_title(turn.reply, linker) for turn in outcome.turns) / len(outcome.turns) if outcome.turns else None


def writes_unknown_title(text: str, linker: Linker) -> bool:
    """Does the text write a title, by its form, that links to nothing in the catalogue?

    Two forms count as a title, whatever their words:

    - *Title (year)*: a year of 1870 to 2039 alone in round brackets, right behind a word that begins with a capital or a digit.  It links
      when a mention of the linker covers the year.
    - *"Title"*, in double quotes, straight or curly: at most eight words, each beginning with a capital or a digit but for words like "of"
      and "the", and not genre words alone.  It links when a mention of the linker touches it.

    A title that the linker repairs (a wrong year) or that several items share does link.  A quoted name of anything else (a character)
    counts as a title.  Titles without year and quotes, in single quotes or in lower case are not seen, so compare arms on the same data
    only: where its titles carry no year (OpenDialKG), models that learnt from it are hardly ever caught.
    """
    mentions = linker.mentions(text)
    for found in _DATED.finditer(text):
        year = found.start(1)
        if _capital(found[0]) and not any(mention.start <= year < mention.end for mention in mentions):
            return True
    return any(
        _reads_as_title(found[1] or found[2]) and not any(m.start < found.end() and m.end > found.start() for m in mentions)
        for found in _QUOTED.finditer(text)
    )


def _capital(text: str) -> bool:
    return text[0].isupper() or text[0].isdigit()


def _reads_as_title(passage: str) -> bool:
    words = words_of(passage)
    telling = [word for word in words if word.form not in SMALL]
    written = all(_capital(passage[word.start]) for word in telling)
    return len(words) <= LONGEST_TITLE and written and any(word.form not in GENERIC for word in telling)


def repetition(outcome: Outcome, linker: Linker) -> float | None:
    """The share of the row's turns whose reply names items, all of which either side had named before; None where nothing was said.

    All linked items of a reply count, not only the first ones.  Naming an item to talk about it counts too: linking cannot tell.
    """
    if not outcome.turns:
        return None
    said = [(set(linker.items(turn.reply)), before) for turn, before in zip(outcome.turns, prefixes(outcome), strict=True)]
    return sum(bool(items) and items <= named_items(before, linker) for items, before in said) / len(said)
