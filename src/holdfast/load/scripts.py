"""A journey made ready to be sent thousands of times: its bytes, its values, what makes it good."""

import json
import random
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from holdfast.clock import SECOND
from holdfast.load.answers import Answer

type Values = dict[str, str | int]
type Part = Callable[[Values], str]

_NAME = re.compile(r"\$\{(\w+)\}")
# A JSON string that is nothing but one template keeps the value's own type; a key stays a string.
_JSON_NAME = re.compile(r'"\$\{(?P<whole>\w+)\}"(?!:)|\$\{(?P<part>\w+)\}')


@dataclass(slots=True)
class Ready:
    """One request, ready to send, and what of it is recorded."""

    data: bytes
    id: str = ""
    account: str = ""
    amount: int = 0


class Script:
    """One journey. The same seed draws the same values; ids never repeat from run to run."""

    def __init__(
        self, name: str, journey: Mapping[str, Any], plan: Mapping[str, Any], run_id: str
    ) -> None:
        self.name = name
        self.field = quoted(name)
        self.limit_ns = round(journey["limit"] * SECOND)
        self._money = journey["money"]
        self._status = frozenset(journey["good"]["status"])
        self._members = journey["good"]["body"]
        self._draws = _draws(journey["values"], plan["values"], f"{plan['seed']}/{name}")
        ids = random.Random(f"{plan['seed']}/{name}/{run_id}")  # noqa: S311 - names, not secrets
        self._draws["id"] = lambda: str(uuid.UUID(int=ids.getrandbits(128), version=4))
        self._head, self._body = _templates(journey["request"], plan["url"])

    def request(self) -> Ready:
        """The next request of this journey."""
        values = {name: draw() for name, draw in self._draws.items()}
        body = "".join([part(values) for part in self._body]).encode()
        head = "".join([part(values) for part in self._head]).encode()
        if self._body:
            head += b"Content-Length: %d\r\n" % len(body)
        data = head + b"\r\n" + body
        if not self._money:
            return Ready(data)
        return Ready(data, str(values["id"]), str(values["account"]), int(values["amount"]))

    def good(self, answer: Answer) -> bool:
        """Is this the answer that the journey calls good? Its body is read only if it must be."""
        if answer.code not in self._status:
            return False
        if not self._members:
            return True
        try:
            body = json.loads(answer.body)
        except ValueError:
            return False
        return isinstance(body, dict) and all(
            name in body and body[name] == value for name, value in self._members.items()
        )


def quoted(text: str) -> str:
    """The text as one field of a CSV row."""
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _draws(
    values: Mapping[str, Any], lists: Mapping[str, list[str]], seed: str
) -> dict[str, Callable[[], str | int]]:
    generator = random.Random(seed)  # noqa: S311 - a customer's choice, not a secret
    return {name: _draw(value, lists, generator) for name, value in values.items()}


def _draw(
    value: Mapping[str, Any], lists: Mapping[str, list[str]], generator: random.Random
) -> Callable[[], str | int]:
    if "pick" in value:
        choices = lists[value["pick"]]
        return lambda: generator.choice(choices)
    low, high = value["between"]
    return lambda: generator.randint(low, high)


def _templates(request: Mapping[str, Any], url: str) -> tuple[list[Part], list[Part]]:
    where = urlsplit(url)
    path = where.path.rstrip("/") + request["path"]
    headers = {"Host": where.netloc, "User-Agent": "holdfast", **request["headers"]}
    body: list[Part] = []
    if request["body"] is not None:
        headers = {"Content-Type": "application/json", **headers}
        text = json.dumps(request["body"], separators=(",", ":"))
        body = _parts(_JSON_NAME, text, _json_part)
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = [_literal(f"{request['method']} "), *_parts(_NAME, path, _path_part)]
    return [*head, _literal(" HTTP/1.1\r\n"), *_parts(_NAME, fields, _plain_part)], body


def _parts(
    pattern: re.Pattern[str], text: str, part: Callable[[re.Match[str]], Part]
) -> list[Part]:
    parts, end = [], 0
    for match in pattern.finditer(text):
        parts += [_literal(text[end : match.start()]), part(match)]
        end = match.end()
    return [*parts, _literal(text[end:])]


def _literal(text: str) -> Part:
    return lambda _: text


def _plain_part(match: re.Match[str]) -> Part:
    name = match[1]
    return lambda values: str(values[name])


def _path_part(match: re.Match[str]) -> Part:
    name = match[1]
    return lambda values: quote(str(values[name]), safe="")


def _json_part(match: re.Match[str]) -> Part:
    if whole := match["whole"]:
        return lambda values: json.dumps(values[whole])
    name = match["part"]
    return lambda values: json.dumps(str(values[name]))[1:-1]
