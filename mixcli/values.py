"""What an option may be set to: how a typed text becomes a value, and which values are refused, in words.

The command line gives texts to `parse`; `check` then holds a value to its rule, wherever it came from. So a value that
is wrong is refused in the same words on both ways. Nothing here knows of options' names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from mixcli.errors import UsageError
from mixcli.text import is_count

MOST = 10**9  # of any number: squares of it stay far from infinity
MOST_SHARDS = 1 << 16
LONGEST_SIDE = 1 << 14  # pixels
MUST_BE_ONE = "must be one of"
LONG = 200  # characters of a wrong value that are repeated


class Refused(ValueError):
    """Why a value is none of those, and what to do about it."""

    def __init__(self, reason: str, advice: str = "", part: Any = None):
        """part: the one of several values that is wrong."""
        super().__init__(reason)
        self.reason, self.advice, self.part = reason, advice, part


class Values:
    """The values of one option."""

    wants = "a text"

    def parse(self, text: str) -> Any:
        """What a text means, or Refused."""
        return text

    def settle(self, value: Any) -> Any:
        """A value that was set from Python, in the form in which it is kept, or Refused."""
        if isinstance(value, str) and self._means_more(value):
            raise Refused(f"must be {self.wants}, not a text")
        return self.check(value)

    def check(self, value: Any) -> Any:
        """The same of a value that is no text, unless texts are what is asked for."""
        raise NotImplementedError

    def shown(self, value: Any) -> str:
        """A value as it is typed."""
        if not isinstance(value, str):
            return _written(value)
        return value[:LONG] or repr(value)

    def _means_more(self, text: str) -> bool:
        try:
            return not isinstance(self.parse(text), str)
        except Refused:
            return False


def _written(value: Any) -> str:
    try:
        return str(value)[:LONG]
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"


class Flag(Values):
    """On or off."""

    def check(self, value: Any) -> bool:
        if type(value) is not bool:
            raise Refused("must be True or False", "on the command line it stands without a value")
        return value


class Ranged(Values):
    """Numbers from `least` to `most`, or above `above`."""

    def __init__(self, least: float | None = None, most: float | None = None, above: float | None = None):
        self.least, self.above, self.ends = least, above, most is not None
        self.most: float = MOST if most is None else most

    def _is_low(self, value: float) -> bool:
        """Whether it is below the range, or no number at all."""
        if self.above is not None:
            return not value > self.above
        return not value >= (-MOST if self.least is None else self.least)

    def _require(self, value: float) -> None:
        """Refused for a number outside of the range."""
        if self._is_low(value) or value > self.most:
            starts = (self.above is not None and (self._is_low(value) or not self.ends)) or self.least is not None
            raise Refused(self._span() if starts else f"must be at most {self.most:,}")

    def _span(self) -> str:
        """The whole range, in words."""
        raise NotImplementedError


class Whole(Ranged):
    """Whole numbers."""

    wants = "a whole number"

    def parse(self, text: str) -> int:
        try:
            return int(text)
        except ValueError as e:
            raise Refused(f"must be {self.wants}") from e

    def check(self, value: Any) -> int:
        if type(value) is not int:
            raise Refused(f"must be {self.wants}")
        self._require(value)
        return value

    def _span(self) -> str:
        """
        >>> Whole(1)._span(), Whole(1, 100)._span(), Whole(above=0, most=10)._span()
        ('must be at least 1 and at most 1,000,000,000', 'must be 1 to 100', 'must be from 1 to 10')
        >>> Whole(0, 2**62 - 1)._span()
        'must be at least 0 and below 2**62'
        """
        if self.above is not None:
            return f"must be from {self.above + 1:g} to {self.most:g}" if self.ends else _finite_above(self.above)
        if not self.ends:
            return f"must be at least {self.least:,} and at most {MOST:,}"
        if self.most > MOST:
            return f"must be at least {self.least:,} and below 2**{int(self.most).bit_length()}"
        return f"must be {self.least:,} to {self.most:,}"


class Number(Ranged):
    """Numbers of any kind; whole ones stay whole."""

    wants = "a number"

    def parse(self, text: str) -> float:
        try:
            return float(text)
        except ValueError as e:
            raise Refused(f"must be {self.wants}") from e

    def check(self, value: Any) -> float:
        if not isinstance(value, float | int) or isinstance(value, bool):
            raise Refused(f"must be {self.wants}")
        self._require(value)
        return value

    def shown(self, value: Any) -> str:
        return str(float(value)) if type(value) is int and abs(value) < MOST**2 else super().shown(value)

    def _span(self) -> str:
        """
        >>> Number(0, 1)._span(), Number(above=0, most=1)._span()
        ('must be from 0 to 1', 'must be above 0, at most 1')
        """
        if self.above is None:
            return f"must be from {self.least:g} to {self.most:g}"
        return f"must be above {self.above:g}, at most {self.most:g}" if self.ends else _finite_above(self.above)


def _finite_above(number: float) -> str:
    return f"must be a finite number above {number:g}, at most {MOST:g}"


class Count(Ranged):
    """Whole numbers, or a word that stands for None: "auto", "all"."""

    wants = "a whole number"

    def __init__(self, word: str, least: int):
        super().__init__(least)
        self.word, self.reason = word, f"is neither {word} nor a count of at least {least}"

    def parse(self, text: str) -> int | None:
        if text == self.word:
            return None
        if not is_count(text):
            raise Refused(self.reason)
        return int(text)

    def settle(self, value: Any) -> int | None:
        return None if value is None or value == self.word else super().settle(value)

    def check(self, value: Any) -> int | None:
        if value is None:
            return None
        if type(value) is not int or self._is_low(value) or value > MOST:
            raise Refused(self.reason)
        return value

    def shown(self, value: Any) -> str:
        return self.word if value is None else super().shown(value)


class Text(Values):
    """Texts, of a form where one is asked for."""

    def __init__(self, form: Callable[[str], object] | None = None):
        """form: raises Refused or UsageError for a text that is not of it."""
        self.form = form

    def check(self, value: Any) -> str:
        if self.form:
            try:
                self.form(str(value))
            except UsageError as e:
                raise Refused(e.reason, e.advice) from e
        if not isinstance(value, str):
            raise Refused("must be a text")
        return value


class Chosen(Values):
    """One of a few texts."""

    def __init__(self, choices: tuple[str, ...]):
        self.choices = choices

    def check(self, value: Any) -> str:
        if isinstance(value, str) and value in self.choices:
            return value
        import difflib

        near = difflib.get_close_matches(value, self.choices, 1) if isinstance(value, str) else []
        raise Refused(f"{MUST_BE_ONE} {', '.join(self.choices)}", f"did you mean {near[0]}?" if near else "")


class FilePath(Values):
    """Names of files and folders; kept as text or as Path."""

    def __init__(self, kept: Callable[[Any], Any] = os.fspath):
        self.kept = kept

    def check(self, value: Any) -> Any:
        if not isinstance(value, str | os.PathLike):
            raise Refused("must be a path")
        if not os.fspath(value):
            raise Refused("must be a path, and is empty")
        return self.kept(value)


class Sides(Values):
    """Height and width of an image: `224` or `HxW`."""

    wants = "two whole numbers"
    form = "is neither a side nor HxW, as in 224 or 240x320"

    def parse(self, text: str) -> tuple[int, int]:
        sides = text.lower().split("x")
        if len(sides) > 2 or not all(map(is_count, sides)):
            raise Refused(self.form)
        return int(sides[0]), int(sides[-1])

    def check(self, value: Any) -> tuple[int, int]:
        sides = (value, value) if type(value) is int else value
        if not isinstance(sides, tuple | list) or len(sides) != 2 or not all(type(side) is int for side in sides):
            raise Refused(self.form)
        if not all(1 <= side <= LONGEST_SIDE for side in sides):
            raise Refused(f"each side must be 1 to {LONGEST_SIDE:,}")
        return sides[0], sides[1]

    def shown(self, value: Any) -> str:
        """
        >>> Sides().shown((240, 320)), Sides().shown((9, 9)), Sides().shown("wide")
        ('240x320', '9', 'wide')
        """
        if isinstance(value, tuple | list) and len(value) == 2:
            return str(value[0]) if value[0] == value[1] else f"{value[0]}x{value[1]}"
        return super().shown(value)


class Part(Values):
    """Part i of n: `i/n`."""

    wants = "two whole numbers"
    form = "is not i/n, as in 0/4"

    def parse(self, text: str) -> tuple[int, int]:
        part, _, parts = text.partition("/")
        if not (is_count(part) and is_count(parts)):
            raise Refused(self.form)
        return int(part), int(parts)

    def check(self, value: Any) -> tuple[int, int]:
        if not isinstance(value, tuple | list) or len(value) != 2 or not all(type(n) is int for n in value):
            raise Refused(self.form)
        part, parts = value
        if not 0 <= part < parts:
            raise Refused(f"shards of n are numbered 0/{parts} to {parts - 1}/{parts}")
        if parts > MOST_SHARDS:
            raise Refused(f"are too many; at most {MOST_SHARDS:,}")
        return part, parts

    def shown(self, value: Any) -> str:
        return f"{value[0]}/{value[1]}" if isinstance(value, tuple | list) and len(value) == 2 else super().shown(value)


class Many(Values):
    """Any number of values of one kind. `parse` is for one of them, since such options are repeated."""

    def __init__(self, of: Values, kept: type[list[Any]] | type[tuple[Any, ...]] = tuple):
        self.of, self.kept = of, kept

    def parse(self, text: str) -> Any:
        return self.of.parse(text)

    def check(self, value: Any) -> Any:
        if isinstance(self.of, FilePath) and isinstance(value, str | os.PathLike):
            value = [value]  # one file is as good as a list of one
        if not isinstance(value, tuple | list):
            raise Refused(f"must be a list, as in {[value]!r}" if isinstance(value, str) else "must be a list")
        return self.kept(map(self._checked, value))

    def _checked(self, one: Any) -> Any:
        try:
            return self.of.check(one)
        except Refused as e:
            raise Refused(e.reason, e.advice, one) from e

    def shown(self, value: Any) -> str:
        return ", ".join(map(self.of.shown, value)) if isinstance(value, tuple | list) else super().shown(value)


class Function(Values):
    """What can be called; from Python alone."""

    def check(self, value: Any) -> Any:
        if not callable(value):
            raise Refused("must be a function")
        return value


Size = Annotated[tuple[int, int], Sides()]
Shard = Annotated[tuple[int, int], Part()]
PathText = Annotated[str, FilePath()]
PATHS: dict[type, Values] = {Path: FilePath(Path)}
