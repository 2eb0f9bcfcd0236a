"""Text from elsewhere, of which nothing can act on a terminal, in a log or in a report."""

import unicodedata


def inert(text: str) -> str:
    """The text with control, direction and other invisible characters as visible escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category[0] != "C" and category not in ("Zl", "Zp"):
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
