"""Linking: the table of `usbrec.linking`, row by row, on films that are words of every day."""

from __future__ import annotations

import os
import pickle
import random
import time
from pathlib import Path

import pytest

from usbrec.catalogue import Catalogue
from usbrec.linking import Linker
from usbrec.titles import clean, key_of, split_name
from usbrec.types import Dialogue, Item, Message
from usbrec.words import WORDS

FILMS = {
    "it17": ("It", 2017),
    "it90": ("It", 1990),
    "guard": ("Guardians of the Galaxy", 2014),
    "up": ("Up", 2009),
    "her": ("Her", 2013),
    "matrix": ("The Matrix", 1999),
    "war": ("War", 2007),
    "inf": ("Avengers: Infinity War", 2018),
    "emma": ("Emma", 2020),
    "home": ("Home Alone", 1990),
    "alone": ("Alone", 2007),
    "good": ("Good Time", 2017),
    "walle": ("WALL·E", 2008),
    "grav": ("Gravity", 2013),
    "list": ("Schindler's List", 1993),
    "love": ("Love & Basketball", 2000),
    "scary": ("Scary Movie", 2000),
    "amelie": ("Amélie", 2001),
    "ring98": ("Ring", 1998),
    "ring02": ("The Ring", 2002),
    "year": ("2012", 2009),
    "dead": ("Deadpool", 2016),
    "life": ("Life", 2017),
    "drama": ("Drama", 2010),
    "zoo": ("Zootopia", None),
    "who": ("Who's There?", 2001),
}
CATALOGUE = Catalogue(Item(id=key, title=title, year=year, stars=("Emma Watson", "Owen Wilson")) for key, (title, year) in FILMS.items())
LINKER = Linker(CATALOGUE)
DATA = Path(os.environ.get("USBREC_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("It (2017) is great", ["it17"]),
        ("I saw it 2017 times", ["it17"]),
        ("have you seen it (1990)?", ["it90"]),
        ("matrix (1999) or up 2009", ["matrix", "up"]),
        ("THE MATRIX (1999)!", ["matrix"]),
        ("amelie (2001), Amélie", ["amelie"]),
        ("Love &amp; Basketball (2000)", ["love"]),
        ("love and basketball", ["love"]),
        ("Who's There%3F (2001)", ["who"]),
        ("wall-e, Walle or WALL·E (2008)", ["walle"]),
        ("schindlers list", ["list"]),
        ("Zootopia (2016)", ["zoo"]),
        ("Home Alone (1990) and Alone (2007)", ["home", "alone"]),
        ("the Ring (1998)", ["ring98"]),
        ("The Ring (2002)", ["ring02"]),
    ],
)
def test_titles_with_their_year_link(text: str, items: list[str]) -> None:
    assert list(LINKER.items(text)) == items


@pytest.mark.parametrize(
    "text",
    [
        "It is up to her. Hi! War is no drama.",
        "we had a good time, and that is life",
        "a scary movie, or a drama",
        "In 2012 I was 12.",
        "gravity pulls it down",
        "Gravity is a law of nature",
        "I love Emma Watson and Owen Wilson",
        "DRAMA! LIFE! WAR!",
        "Life is good. Up we go. Her hat.",
        "",
        "...!?",
        "(2017)",
    ],
)
def test_prose_does_not_link(text: str) -> None:
    assert LINKER.mentions(text) == []


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("i liked deadpool and the matrix", ["dead", "matrix"]),
        ("I loved Gravity", ["grav"]),
        ("Have you seen Good Time?", ["good"]),
        ('Have you seen Up or "Her"?', ["up", "her"]),
        ('She is in "Emma"', ["emma"]),
        ("I watched Scary Movie with friends", ["scary"]),
    ],
)
def test_titles_without_a_year_link_where_their_writing_says_so(text: str, items: list[str]) -> None:
    assert list(LINKER.items(text)) == items


def test_a_genre_word_links_only_with_its_year() -> None:
    assert LINKER.items('"Drama" or Drama') == ()
    assert LINKER.items("Drama (2010)") == ("drama",)


def test_a_wrong_year_is_repaired_to_the_only_film() -> None:
    mention = LINKER.mentions("The Matrix (2003) rocks")[0]
    assert (mention.item, mention.repaired, mention.text) == ("matrix", True, "The Matrix (2003)")


def test_a_wrong_year_of_a_shared_title_is_repaired_within_two_years_and_never_guessed() -> None:
    near, far = LINKER.mentions("It (2016)")[0], LINKER.mentions("It (2005)")[0]
    assert (near.item, near.repaired) == ("it17", True)
    assert (far.item, far.repaired, set(far.candidates)) == (None, False, {"it17", "it90"})
    assert LINKER.items("It (2005)") == ()


def test_of_two_films_equally_near_in_year_neither_is_guessed() -> None:
    films = Linker(Catalogue([Item(id="twin00", title="Twin Sisters", year=2000), Item(id="twin02", title="Twin Sisters", year=2002)]))
    (between,), (beside,) = films.mentions("Twin Sisters (2001)?"), films.mentions("Twin Sisters (1999)?")
    assert (between.item, set(between.candidates)) == (None, {"twin00", "twin02"})
    assert (beside.item, beside.repaired) == ("twin00", True)


def test_a_repaired_title_is_said_back_by_its_right_name() -> None:
    said = "The Matrix (2003) and Emma (2020), or Schindlers Lst (1993)? It (2005)!"
    assert LINKER.righted(said) == "The Matrix (1999) and Emma (2020), or Schindler's List (1993)? It (2005)!"
    assert LINKER.righted("nothing") == "nothing"


def test_years_are_held_against_the_catalogue() -> None:
    """A repaired year is wrong; so is one of a shared title that none of its films has; a title without a year says nothing."""
    assert LINKER.years("The Matrix (1999), The Matrix (2003)! It (1990), It (2005), Emma.") == [True, False, True, False]
    assert Linker(Catalogue([Item(id="a", title="Some Undated Film")])).years("Some Undated Film (1999)") == []


def test_a_shared_title_without_a_year_is_reported_as_ambiguous() -> None:
    mention = LINKER.mentions('I liked "It" a lot')[0]
    assert mention.item is None
    assert set(mention.candidates) == {"it17", "it90"}


def test_the_end_of_a_longer_unknown_title_is_not_repaired() -> None:
    assert LINKER.items("watch Dancing Alone (2011)") == ()
    assert LINKER.items("watch Home Alone (2007)") == ("home",), "the longer title wins, and is repaired"


def test_a_misspelt_title_with_its_year_is_repaired() -> None:
    mention = LINKER.mentions("try Gaurdians of the Galaxy (2014)!")[0]
    assert (mention.item, mention.repaired, mention.text) == ("guard", True, "Gaurdians of the Galaxy (2014)")
    assert LINKER.items("try Gaurdians of the Galaxy (2015)") == (), "nothing of that year is like it"


def test_positions_are_those_of_the_original_text() -> None:
    text = "First: Who&#39;s There%3F (2001), then “Amélie”."
    assert [text[m.start : m.end] for m in LINKER.mentions(text)] == ["Who&#39;s There%3F (2001)", "Amélie"]


def test_items_are_in_order_and_each_once() -> None:
    assert LINKER.items("Up (2009), Her (2013), Up (2009)") == ("up", "her")


def test_names_looks_a_title_string_up() -> None:
    assert LINKER.names("It (2017)") == ("it17",)
    assert set(LINKER.names("It")) == {"it17", "it90"}
    assert LINKER.names("It (2016)") == ()
    assert LINKER.names("No such film (2016)") == ()


def test_leaks_see_titles_with_and_without_a_year() -> None:
    said = Dialogue(messages=(Message(side="seeker", text="I liked deadpool and The Matrix (1999)"),))
    assert LINKER.leaks(said, ["matrix", "dead", "up"]) == ("matrix", "dead")
    shared = Dialogue(messages=(Message(side="seeker", text='I liked "It"'),))
    assert LINKER.leaks(shared, ["it90"]) == ("it90",)


@pytest.mark.parametrize(
    "text",
    ["Something like infinity war", "avengers", "AVENGERS: INFINITY WAR (2018)", "Avengers Infinity War", "Avangers: Infinity War (2018)"],
)
def test_a_target_is_revealed_and_masked(text: str) -> None:
    assert LINKER.reveals(text, ["inf"])
    assert not LINKER.reveals(LINKER.mask(text, ["inf"]), ["inf"])


def test_common_words_do_not_reveal_but_titles_do() -> None:
    assert not LINKER.reveals("it is up to her", ["it17", "up", "her"])
    assert LINKER.reveals("I want Up (2009)", ["up"])
    assert LINKER.mask("Maybe the matrix (1999) tonight", ["matrix"]) == "Maybe that one tonight"
    assert LINKER.mask("I like Heat", ["matrix"]) == "I like Heat"


def test_a_linker_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(LINKER))
    assert again.items("Up (2009)") == ("up",)


def test_title_forms() -> None:
    assert key_of("Amélie & Love: The 2nd") == "amelie and love the 2nd"
    assert split_name("Heat (1995)") == ("Heat", 1995)
    assert split_name("2012") == ("2012", None)
    assert clean("What%3F &amp; why  not") == "What? & why not"


def test_linking_takes_under_a_millisecond_a_reply_whatever_the_catalogues_size() -> None:
    rng, pool = random.Random(1), WORDS[300:]
    items = [
        Item(id=str(n), title=" ".join(rng.choice(pool).title() for _ in range(rng.randint(1, 4))), year=rng.randint(1930, 2024))
        for n in range(20_000)
    ]
    linker = Linker(Catalogue(items))
    texts = [" ".join(rng.choices(pool, k=20)) + f" {items[rng.randrange(len(items))].name} or that" for _ in range(300)]
    began = time.process_time()
    found = sum(bool(linker.mentions(text)) for text in texts)
    each = (time.process_time() - began) / len(texts)
    assert found == len(texts), "every text holds a title with its year"
    assert each < 0.003, f"{each * 1000:.2f} ms a reply; under 1 ms on a quiet machine"


@pytest.mark.skipif(not (DATA / "redial" / "valid.jsonl").exists(), reason=f"{DATA} holds no redial/valid.jsonl; USBREC_DATA names another")
def test_precision_and_recall_on_redial_valid() -> None:
    from usbrec.data import redial
    from usbrec.data.quality import measure_rows

    corpus = redial.read(DATA)
    for dated in (False, True):
        quality = measure_rows(corpus.rows["valid"], corpus.reading, dated=dated)
        assert quality.precision >= 0.98, quality.most_extra
        assert quality.recall >= 0.98, quality.most_missed


def test_an_accent_for_an_apostrophe_does_not_break_the_words() -> None:
    """The accent decomposes into a space and a combining mark: once, that broke the alignment of the whole text."""
    text = "I´m sorry, I´m not familiar with Guardians of the Galaxy (2014), don´t know Home Alone (1990)"
    assert LINKER.items(text) == ("guard", "home")
    assert key_of("It´s ½ a ﷺ Wonderful Life") == "its 12 a صلىاللهعليهوسلم wonderful life"


def test_no_text_breaks_the_linker() -> None:
    """Any characters at all, between and inside titles."""
    rng = random.Random(5)
    letters = [chr(code) for code in range(0x20, 0x3000) if chr(code).isprintable()] + list("´`'’½ﷺﬁ…🎬\u200d\ufe0f\u0130ß")
    for _ in range(3000):
        odd = "".join(rng.choice(letters) for _ in range(rng.randrange(12)))
        text = f"{odd} Home{odd[:2]} Alone (1990) {odd} I´m The Matrix (1999){odd}"
        for mention in LINKER.mentions(text):
            assert text[mention.start : mention.end] == mention.text
        LINKER.mask(text, ["home"])
        LINKER.reveals(odd, ["home", "matrix"])


ANY_SCRIPT = {
    "spirited": ("千と千尋の神隠し", 2001), "hero": ("英雄", 2002), "mood": ("花樣年華", 2000), "parasite": ("기생충", 2019),
    "fan": ("แฟนฉัน", 2003), "rec": ("[REC]", 2007), "money": ("$9.99", 2008), "dots": ("…", 2019), "emoji": ("🎬🍿", 2020),
    "heart": ("❤️", 2019), "live": ("生", None), "inception": ("Inception", 2010), "batman": ("バットマン", 1989), "pi": ("π", 1998),
}  # fmt: skip
SCRIPTS = Linker(Catalogue(Item(id=key, title=title, year=year) for key, (title, year) in ANY_SCRIPT.items()))


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("昨日千と千尋の神隠しを見ました", ["spirited"]),
        ("「千と千尋の神隠し」（2001年）はどう？", ["spirited"]),
        ("我很喜欢花樣年華和Inception，很好看", ["mood", "inception"]),
        ("《英雄》很好看", ["hero"]),
        ("have you seen 英雄?", ["hero"]),
        ("英雄 (2002)", ["hero"]),
        ("어제 기생충을 봤어요", ["parasite"]),
        ("ฉันชอบแฟนฉันมาก", ["fan"]),
        ("バットマンが好き", ["batman"]),
        ("ﾊﾞｯﾄﾏﾝが好き", ["batman"]),
        ("ハ\u3099ットマン (1989)", ["batman"]),
        ("You should watch [REC] tonight", ["rec"]),
        ("[REC] (2007) or [Rec]!", ["rec"]),
        ("try $9.99, it is odd", ["money"]),
        ("watch 🎬🍿 now", ["emoji"]),
        ("🎬🍿🎬🍿 (2020)", ["emoji"]),
        ('"❤" and "…"', ["heart", "dots"]),
        ("❤️ (2019)… (2019)", ["heart", "dots"]),
        ("I saw … (2019)", ["dots"]),
        ("I saw ... (2019)", ["dots"]),
        ("「生」を見た", ["live"]),
        ("π (1998)", ["pi"]),
    ],
)
def test_titles_of_any_script_link(text: str, items: list[str]) -> None:
    assert list(SCRIPTS.items(text)) == items
    assert all(SCRIPTS.names(SCRIPTS.catalogue[key].name) == (key,) for key in items)
    assert all(SCRIPTS.reveals(text, [key]) for key in items)


@pytest.mark.parametrize(
    "text",
    [
        "他是我的英雄人物",  # two characters within a sentence are a word like any other
        "生まれて生きる",
        "well… I ❤️ it, don't I…",
        "rec rooms cost $9.999 or £9.99, or 9 99",
        "🎬 and 🍿",
        "千と千尋が好き",
    ],
)
def test_one_character_or_a_common_pair_is_no_title_by_itself(text: str) -> None:
    assert SCRIPTS.mentions(text) == []


def test_every_title_of_any_script_is_linked_in_a_plain_reply() -> None:
    """What the human says (`ceiling:human`) is found, whatever the script: with its year always."""
    for item in SCRIPTS.catalogue:
        assert SCRIPTS.items(f"I would say {item.name}.") == ((item.id,) if item.year else ()), item.name
        assert SCRIPTS.items(f'I would say "{item.title}".') == (item.id,), item.name


HOSTILE_TEXTS = {
    "years": "(1999) " * 60_000,
    "titles": "The Matrix Home Alone Guardians of the Galaxy " * 9_000,
    "short titles": "It Up Her " * 10_000,
    "misspelt": "Gaurdians of the Galaxy (2014) " * 13_000,
    "open brackets": "Home Alone (" * 10_000,
    "one word": "Alone" * 80_000,
    "spaces": ("Up" + " " * 50) * 8_000,
    "entities": "&amp;" * 30_000,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HOSTILE_TEXTS.items()])
def test_the_time_grows_with_the_text_and_not_with_its_square(text: str) -> None:
    """Once, 400,000 characters of titles took minutes, and ten million would have taken days."""
    LINKER.mentions(text)
    LINKER.mask(text, ["home", "matrix"])


def test_a_name_of_many_spaces_is_split_at_once() -> None:
    assert split_name("Heat" + " " * 200_000 + "(1995)") == ("Heat", 1995)
    assert split_name(" " * 200_000 + "x")[1] is None
