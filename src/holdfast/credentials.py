"""Credentials by reference: `${secret:NAME}` stands for the environment variable of that name.

Files hold the reference only. The value is read where a request is made, and hidden by `redact`.
"""

import os
import re

from holdfast.errors import InvalidInput
from holdfast.redact import keep_secret

SECRET = re.compile(r"\$\{secret:(\w+)\}")


def secret(name: str) -> str:
    """The value of the variable; from now on no text that leaves this process holds it.

    Raises:
        InvalidInput: it is not set, too short to be hidden, or no single line of plain characters.
    """
    place, step = f"${{secret:{name}}}", f"Set the environment variable {name}"
    value = os.environ.get(name, "")
    if not value:
        raise InvalidInput(place, "the environment variable is not set", step)
    if not (value.isascii() and value.isprintable()):
        raise InvalidInput(place, "it is no single line of printable characters", step)
    try:
        keep_secret(value)
    except ValueError as error:
        raise InvalidInput(place, str(error), step) from None
    return value


def filled(text: str) -> str:
    """The text with each reference replaced by its value."""
    return SECRET.sub(lambda match: secret(match[1]), text)
