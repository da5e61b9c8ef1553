"""Wrong values of any declared option, made from its declaration."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mixcli.option import Option
from mixcli.values import MOST, Chosen, Count, FilePath, Flag, Function, Many, Part, Ranged, Sides, Text, Values, Whole

TYPO, TYPE, RANGE, ENDLESS = "typo", "wrong type", "out of range", "not finite"
NOBODYS = "nobody's"  # a text that is no choice, number, size, device or preset


@dataclass(frozen=True)
class Wrong:
    """A value, and how it is typed; None where the command line has no such value."""

    how: str
    value: Any
    text: str | None


def wrong_values(one: Option, kind: str | None = None) -> list[Wrong]:
    """Of an option as it is for one kind of data."""
    found = list(_of(one.of(kind).values))
    if not one.optional and not isinstance(one.values, Count):
        found.append(Wrong(TYPE, None, None))
    return found


def _of(values: Values) -> Iterator[Wrong]:
    if isinstance(values, Many):
        yield from (Wrong(w.how, [w.value], w.text) for w in _of(values.of))
        yield Wrong(TYPE, 3, None)
        if not isinstance(values.of, FilePath):
            yield Wrong(TYPE, "mask", None)
    elif isinstance(values, Chosen):
        typos = (values.choices[0][::-1] + "x", values.choices[0].upper() + "!", "")
        yield from [*(Wrong(TYPO, typo, typo) for typo in typos), Wrong(TYPE, 3, "3")]
    elif isinstance(values, Ranged):
        yield from _numbers(values)
    elif isinstance(values, Flag):
        yield from [Wrong(TYPO, "ture", "ture"), Wrong(TYPE, 1, "1")]
    elif isinstance(values, Sides):
        yield from [Wrong(TYPO, "8y9", "8y9"), Wrong(TYPE, 2.5, "2.5"), Wrong(TYPE, "224", None)]
        yield from [Wrong(RANGE, (0, 8), "0x8"), Wrong(RANGE, 99999, "99999")]
    elif isinstance(values, Part):
        yield from [Wrong(TYPO, "1-3", "1-3"), Wrong(TYPE, 3, "3"), Wrong(TYPE, "0/4", None)]
        yield from [Wrong(RANGE, (3, 3), "3/3"), Wrong(RANGE, (0, 99999), "0/99999")]
    elif isinstance(values, FilePath):
        yield from [Wrong(TYPE, 3, None), Wrong(RANGE, "", "")]
    elif isinstance(values, Function):
        yield Wrong(TYPE, 3, None)
    elif isinstance(values, Text):
        yield Wrong(TYPE, 3, "3" if values.form else None)
        if values.form:
            yield Wrong(TYPO, NOBODYS, NOBODYS)


def _numbers(values: Ranged) -> Iterator[Wrong]:
    yield from [Wrong(TYPO, "3o", "3o"), Wrong(TYPO, "", ""), Wrong(TYPE, True, "True"), Wrong(TYPE, "3", None)]
    yield Wrong(TYPE, (3,), None)
    if isinstance(values, Whole | Count):
        yield Wrong(TYPE, 2.5, "2.5")
    else:
        yield from [Wrong(ENDLESS, float(word), word) for word in ("nan", "inf", "-inf")]
    low = values.above if values.above is not None else -MOST - 1 if values.least is None else values.least - 1
    high = values.most + 1
    yield from [Wrong(RANGE, int(low), str(int(low))), Wrong(RANGE, int(high), str(int(high)))]


def right_value(one: Option, kind: str) -> tuple[Any, str]:
    """A value that is none of the default's, of a kind of data that the option is for; and how it is typed."""
    values = one.of(kind).values
    many, values = isinstance(values, Many), values.of if isinstance(values, Many) else values
    if isinstance(values, Chosen):
        text = next(choice for choice in values.choices if choice != one.default)
        return ([text] if many else text), text
    if isinstance(values, Flag):
        return not one.default, ""
    if isinstance(values, Sides):
        return (8, 9), "8x9"
    if isinstance(values, Ranged):
        number = int(values.least or 1) + 1
        return number, str(number)
    return ("half", "half") if isinstance(values, Text) and values.form else ("given", "given")
