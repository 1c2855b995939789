"""`${name}` in texts."""

import pytest

from services.scripted.placeholders import Unfillable, Value, fill, names_in, verbatim

VARIABLES: dict[str, Value] = {"line": "27", "loss": "0.25", "name": "train", "count": 3}


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("no placeholder", "no placeholder"),
        ("step ${name}", "step train"),
        ("${name}-${count}", "train-3"),
        ("${line}", "27"),
        ("${line:int}", 27),
        ("${line:int-8}", 19),
        ("${line:int+3}", 30),
        ("${loss:float}", 0.25),
        ("at ${line:int-8}", "at 19"),
        ("${count}", "3"),
        ("${count:int}", 3),
        ("$HOME and $${HOME}", "$HOME and ${HOME}"),
        ({"a": ["${line:int}", {"b": "${name}"}]}, {"a": [27, {"b": "train"}]}),
        (True, True),
        (None, None),
    ],
)
def test_placeholders_are_filled_at_any_depth(value: object, filled: object) -> None:
    assert fill(value, VARIABLES) == filled


@pytest.mark.parametrize("text", ["echo ${HOME}", "$${x}", "$$${x}", "a ${b:int} c", "plain $ sign"])
def test_a_verbatim_text_comes_back_as_it_was(text: str) -> None:
    assert fill(verbatim(text), {}) == text
    assert names_in(verbatim(text)) == set()


@pytest.mark.parametrize("value", ["${missing}", "${name:int}", "${name:float}"])
def test_what_cannot_be_filled_is_said_by_name(value: str) -> None:
    with pytest.raises(Unfillable, match=r"missing|name"):
        fill(value, VARIABLES)


def test_names_are_found_at_any_depth() -> None:
    assert names_in({"a": ["${x}", {"b": "${y:int} $${z}"}]}) == {"x", "y"}
