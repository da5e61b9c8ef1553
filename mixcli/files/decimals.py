"""Plain decimal numbers in a text, compiled: a mesh of ModelNet40 is mostly the reading of its digits."""

from __future__ import annotations

import numpy as np

from mixcli.jit import njit

POWERS = 10.0 ** np.arange(23)  # all powers of ten that a double holds exactly
WHOLE = 2**53  # and all whole numbers up to here


@njit()
def decimals(text: np.ndarray, start: np.ndarray, values: np.ndarray, powers: np.ndarray) -> bool:
    """Fill values (T,) f64 with the numbers at start (T,) i64 of text (n,) u8; False where one is not simple.

    Simple is [-+]digits[.digits][e[-+]digits] up to white space whose digits make a whole number below 2^53, with a
    power of ten up to 22: both are exact doubles, so that one product or quotient of them is correctly rounded
    (Clinger, How to Read Floating Point Numbers Accurately, 1990). `text` ends with white space.
    """
    for token in range(len(start)):
        i = start[token]
        sign = 1.0
        if text[i] == 45 or text[i] == 43:  # - +
            sign = -1.0 if text[i] == 45 else 1.0
            i += 1
        digits, number, power = 0, 0, 0
        while 48 <= text[i] <= 57 and number < WHOLE:
            number = number * 10 + text[i] - 48
            digits += 1
            i += 1
        if text[i] == 46:  # .
            i += 1
            while 48 <= text[i] <= 57 and number < WHOLE:
                number = number * 10 + text[i] - 48
                digits += 1
                power -= 1
                i += 1
        if digits == 0 or number >= WHOLE:
            return False
        if text[i] == 101 or text[i] == 69:  # e E
            i += 1
            down = text[i] == 45
            if text[i] == 45 or text[i] == 43:
                i += 1
            exponent, first = 0, i
            while 48 <= text[i] <= 57 and exponent < 1000:
                exponent = exponent * 10 + text[i] - 48
                i += 1
            if i == first:
                return False
            power += -exponent if down else exponent
        if text[i] > 32 or not -22 <= power <= 22:
            return False
        values[token] = sign * (number / powers[-power] if power < 0 else number * powers[power])
    return True
