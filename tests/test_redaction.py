"""A secret stands in nothing that usbrec says: by value, in whatever form and in however many pieces it comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from usbrec import redaction
from usbrec.engine import Completion
from usbrec.errors import UsbrecError
from usbrec.redaction import Redacting, keep_secret, plain_url, redacted, variable

KEY = 'sk-se/same"42'


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redaction, "_SECRETS", set())
    yield


@pytest.mark.parametrize("form", [KEY, "sk-se%2Fsame%2242", 'sk-se/same\\"42'])
def test_a_secret_is_hidden_as_it_is_in_a_url_and_in_json(form: str) -> None:
    assert redacted(f"before {form} after") == f"before {form} after"
    keep_secret(KEY)
    assert redacted(f"before {form} after") == "before *** after"


@pytest.mark.parametrize(("value", "hidden"), [("none", False), ("EMPTY", False), ("ollama", False), ("sk-123", True), ("abcdefgh", True)])
def test_a_placeholder_is_no_secret(value: str, hidden: bool) -> None:
    keep_secret(value)
    assert (redacted(f"say {value}") == "say ***") == hidden


def test_errors_and_replies_are_redacted_as_they_are_made() -> None:
    keep_secret(KEY)
    fault = UsbrecError(f"what {KEY}", where=f"http://me:{KEY}@host", fix=f"not {KEY}")
    assert KEY not in str(fault) + repr(fault) + "".join(map(str, fault.args))
    assert Completion(text=f"your key: {KEY}").text == "your key: ***"


def test_the_user_of_a_url_is_hidden_wherever_it_stands() -> None:
    assert redacted("at http://me:a@b/v1 and https://token@h:80, mail a@b") == "at http://***@b/v1 and https://***@h:80, mail a@b"
    assert redacted("see https://example.org/@someone/post?mail=a@b") == "see https://example.org/@someone/post?mail=a@b"


def test_pieces_never_add_up_to_a_secret() -> None:
    keep_secret(KEY, "sk-other-1")
    text = f"a {KEY} b {KEY[:7]} c sk-other-1{KEY} sk-o"
    for size in range(1, len(text)):
        hide = Redacting()
        pieces = [hide(text[start : start + size]) for start in range(0, len(text), size)] + [hide("", last=True)]
        assert "".join(pieces) == redacted(text)


@pytest.mark.parametrize("url", ["http://host/v1", "https://10.0.0.1:8000", "http://[::1]:8000/v1", "http://gate/v1/@cf/model"])
def test_an_address_is_kept_as_it_is(url: str) -> None:
    assert plain_url(url) == url


@pytest.mark.parametrize("url", ["http://me:word-42@host/v1", "https://token-42@host", "http://me:with/slash-42@host/v1", "http://h/v1?k=a",
                                 "http://h:port", "host:80", "file:///etc", "", "http://"])  # fmt: skip
def test_an_address_with_a_secret_or_none_is_refused_and_its_secret_known(url: str) -> None:
    with pytest.raises(ValueError) as fault:
        plain_url(url)
    assert "42" not in redacted(f"{fault.value} (given: '{url}')")


def test_a_key_in_place_of_its_name_is_refused_and_known() -> None:
    assert variable("MY_KEY_2") == "MY_KEY_2"
    with pytest.raises(ValueError, match="never the key"):
        variable(KEY)
    assert redacted(KEY) == "***"
