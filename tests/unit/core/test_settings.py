"""Settings classes: what they take, what they refuse, and in which words."""

from __future__ import annotations

import pickle
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from matwheel.core.errors import InputError
from matwheel.core.settings import (
    DISTINCT,
    GIVEN,
    Numbers,
    Positive,
    Steps,
    WrongSetting,
    schema_of,
    settings,
)


@settings
class Inner:
    """Settings within others."""

    width: Positive = 1.0
    """Of something."""
    height: Positive = 2.0
    """Of the same."""

    def __post_init__(self) -> None:
        if self.width > self.height:
            raise WrongSetting(f"give at most height ({self.height:g})", "width")


@settings
class Example:
    """Settings of an example."""

    length: Positive = 1.0
    """How long."""
    steps: Steps = 2
    """How many."""
    several: Numbers = (1.0,)
    """Some numbers."""
    names: Annotated[tuple[str, ...], Field(strict=False), DISTINCT] = ()
    """Some names."""
    quick: bool = True
    """Whether."""
    way: Literal["up", "down"] = "up"
    """Where."""
    limit: Steps | None = None
    """Or none."""
    inner: Annotated[Inner, GIVEN] = Inner()
    """What is within."""

    def __post_init__(self) -> None:
        if self.steps == 13:
            raise WrongSetting("give another number", "steps")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"length": -1}, "length is -1; give a number above 0"),
        ({"length": float("nan")}, "length is nan; give a number above 0"),
        ({"length": float("inf")}, "length is inf; give a number above 0"),
        ({"length": "1"}, "length is '1'; give a number above 0"),
        ({"length": True}, "length is true; give a number above 0"),
        ({"steps": 0}, "steps is 0; give a whole number from 1 to 10,000,000"),
        ({"steps": 2.0}, "steps is 2.0; give a whole number from 1 to 10,000,000"),
        (
            {"steps": 10**9},
            "steps is 1000000000; give a whole number from 1 to 10,000,000: ten million steps take",
        ),
        ({"steps": 13}, "steps is 13; give another number"),
        ({"several": []}, "several is []; give a list of 1 or more (a number above 0)"),
        ({"several": [1, -2]}, "several.1 is -2; give a number above 0"),
        ({"several": 3}, "several is 3; give a list of 1 or more (a number above 0)"),
        ({"names": ["a", "b", "a"]}, "names is ['a', 'b', 'a']; name 'a' once"),
        ({"quick": 1}, "quick is 1; give true or false"),
        ({"way": "upp"}, "way is 'upp'; give one of up, down; did you mean up?"),
        ({"limit": 0}, "limit is 0; give a whole number from 1 to 10,000,000 or null"),
        ({"lenght": 3}, "lenght is 3; there is no such setting; did you mean length?"),
        ({"colour": 3, "steps": 0}, "colour is 3; there is no such setting, but length, steps, several"),
        ({"inner": {"width": 0}}, "inner.width is 0; give a number above 0"),
        ({"inner": {"width": 3}}, "inner.width is 3; give at most height (2)"),
        ({"inner": {"wdith": 3}}, "inner.wdith is 3; there is no such setting; did you mean width?"),
        ({"inner": 3}, "inner is 3; give a mapping"),
    ],
)
def test_what_is_refused_is_said_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        Example(**given)
    message = str(caught.value)
    assert message.startswith(f"Example.{said}") and "\n" not in message and len(message) < 300, message


def test_an_argument_without_its_name_is_named() -> None:
    with pytest.raises(InputError, match=r"^Example\.length is -2; give a number above 0$"):
        Example(-2)


def test_values_stay_as_they_were_given() -> None:
    """A whole number written for a length is one in every file that the settings are written to."""
    made = Example(length=3, several=[1, 2.5], inner={"width": 1})
    assert repr(asdict(made)["length"]) == "3" and repr(made.several) == "(1, 2.5)"
    assert repr(made.inner.width) == "1" and made == Example(3.0, several=(1.0, 2.5), inner=Inner(1.0))
    assert replace(made, steps=5).length == 3 and hash(made) == hash(replace(made))
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(AttributeError):
        made.length = 4


def test_texts_below_fields_are_their_descriptions() -> None:
    properties = schema_of(Example)["properties"]
    assert properties["length"]["description"] == "How long." and properties["steps"]["maximum"] == 10_000_000
