"""Numbers as users type them."""


def is_count(text: str) -> bool:
    """Whether a text is a whole number of a size that anyone means.

    >>> is_count("12"), is_count("²"), is_count("-1"), is_count("9" * 5000)
    (True, False, False, False)
    """
    return text.isdecimal() and len(text) < 19
