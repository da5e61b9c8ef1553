"""Text as a terminal sets it: how many columns it takes, cut and padded, and harmless to print; numbers as typed."""

from __future__ import annotations

import unicodedata


def clean(text: str) -> str:
    """A name from a file, harmless to print: control, formatting (bidi) and surrogate characters and line breaks
    become '?'.

    >>> clean("mug\\x1b[31m")
    'mug?[31m'
    """
    return "".join("?" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in str(text))


def width(text: str) -> int:
    """Columns that a terminal gives to a text."""
    return sum(_columns(c) for c in text)


def _columns(character: str) -> int:
    if character == "\ufe0f":  # makes an emoji of the character before it, one column wider
        return 1
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def clip(text: str, wide: int) -> str:
    """The start of a text, at most so many columns; '~' says that there was more.

    >>> clip("airplane", 5)
    'airp~'
    """
    text = text[: 8 * wide + 8]  # a hostile name may be megabytes, or one letter under thousands of accents
    if width(text) <= wide:
        return text
    while text and width(text) > wide - 1:
        text = text[:-1]
    return text + "~" if wide > 0 else ""


def pad(text: str, wide: int) -> str:
    return text + " " * (wide - width(text))


def is_count(text: str) -> bool:
    """Whether a text is a whole number of a size that anyone means.

    >>> is_count("12"), is_count("²"), is_count("-1"), is_count("9" * 5000)
    (True, False, False, False)
    """
    return text.isdecimal() and len(text) < 19
