"""A journey made ready to be sent thousands of times: its bytes, its values, what makes it good."""

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

from holdfast.clock import SECOND, now_ns
from holdfast.credentials import filled

MARK = "X-Holdfast-Run"  # the header that says of every request: synthetic, and of which run

type Value = str | int | float
type Values = dict[str, Value]
type Draw = Callable[[], Value]
type Part = Callable[[Values], str]

_NAME = re.compile(r"\$\{(\w+)\}")
# A JSON string that is nothing but one template keeps the value's own type; a key stays a string.
_JSON_NAME = re.compile(r'"\$\{(?P<whole>\w+)\}"(?!:)|\$\{(?P<part>\w+)\}')
_UUID4 = 0x4 << 76 | 0x8 << 60  # version and variant
_UUID_FREE = ~(0xF << 76 | 0xC << 60)


def _nothing() -> None:
    pass


@dataclass(slots=True, eq=False)
class Exchange:
    """One customer on a journey: one request or several in turn, settled exactly once."""

    script: "Script"
    scheduled_ns: int
    data: bytes  # the request that is sent next, or was sent last
    values: Values
    id: str = ""
    account: str = ""
    amount: int = 0
    step: int = 0
    step_ns: int = 0  # when the first request of this step was sent
    sent_ns: int = 0  # when the customer acted: wrote, or began to connect
    written: bool = False
    settled: bool = False
    done_ns: int = 0
    outcome: str = ""
    code: int = 0
    drop: Callable[[], object] = field(default=_nothing)


class Script:
    """One journey. The same seed draws the same values; ids never repeat from run to run."""

    def __init__(
        self, name: str, journey: Mapping[str, Any], plan: Mapping[str, Any], run_id: str
    ) -> None:
        self.name = name
        self.field = quoted(name)
        self.limit_ns = round(journey["limit"] * SECOND)
        self._money = journey["money"]
        self._draws = _draws(journey["values"], plan["values"], f"{plan['seed']}/{name}")
        steps = [] if journey.get("python") else journey.get("steps") or [journey]
        if self._money or not steps or "${id}" in json.dumps(steps):
            self._draws["id"] = _ids(f"{plan['seed']}/{name}/{run_id}")
        self._steps = [Step(one, plan["url"], run_id) for one in steps]

    def request(self, scheduled_ns: int = 0) -> Exchange:
        """The next customer, with the first request."""
        values = {name: draw() for name, draw in self._draws.items()}
        data = self._steps[0].data(values) if self._steps else b""
        exchange = Exchange(self, scheduled_ns, data, values)
        if self._money:
            exchange.id, exchange.account = str(values["id"]), str(values["account"])
            exchange.amount = int(values["amount"])
        return exchange

    def outcome(self, exchange: Exchange, code: int, body: bytes) -> str:
        """What the answer means: over as `ok`, `wrong` or `timeout`, or else `next` or `again`."""
        step = self._steps[exchange.step]
        found = step.outcome(code, body)
        if found == "again" and now_ns() - exchange.step_ns > step.at_most_ns:
            return "timeout"
        if found != "ok" or exchange.step + 1 == len(self._steps):
            return found
        taken = step.taken(body)
        if taken is None:
            return "wrong"
        exchange.values |= taken
        exchange.step += 1
        exchange.step_ns = 0
        exchange.data = self._steps[exchange.step].data(exchange.values)
        return "next"

    def pause_s(self, exchange: Exchange) -> float:
        """Seconds until the same request is sent again."""
        return self._steps[exchange.step].every_s


class Step:
    """One request of a journey, and what its answer has to be."""

    def __init__(self, step: Mapping[str, Any], url: str, run_id: str) -> None:
        self._status = frozenset(step["good"]["status"])
        self._members = step["good"]["body"]
        self._take = {name: path.split(".")[1:] for name, path in (step.get("take") or {}).items()}
        until = step.get("until") or {"body": {}, "every": 0.0, "at_most": 0.0}
        self._until = until["body"]
        self.every_s: float = until["every"]
        self.at_most_ns = round(until["at_most"] * SECOND)
        self._reads_body = bool(self._members or self._until)
        self._head, self._body = _templates(step["request"], url, run_id)

    def data(self, values: Values) -> bytes:
        """The request as bytes."""
        if self._body is None:
            return self._head(values).encode() + b"\r\n"
        body = self._body(values).encode()
        return b"%sContent-Length: %d\r\n\r\n%s" % (self._head(values).encode(), len(body), body)

    def outcome(self, code: int, body: bytes) -> str:
        """`ok`, `wrong` or `again`; the body is read only if it must be."""
        if code not in self._status:
            return "wrong"
        if not self._reads_body:
            return "ok"
        found = _json(body)
        if not _has(found, self._members):
            return "wrong"
        return "ok" if _has(found, self._until) else "again"

    def taken(self, body: bytes) -> Values | None:
        """The values that later steps take from the answer; None when one is not there."""
        found, taken = _json(body), {}
        for name, path in self._take.items():
            value: Any = found
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if not isinstance(value, str | int | float) or _unsafe(value):
                return None
            taken[name] = value
        return taken


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _has(body: Any, members: Mapping[str, Any]) -> bool:
    return not members or (
        isinstance(body, dict)
        and all(name in body and body[name] == value for name, value in members.items())
    )


def _unsafe(value: Value) -> bool:
    """Could it end a header's line?"""
    return isinstance(value, str) and not value.isprintable()


def quoted(text: str) -> str:
    """The text as one field of a CSV row."""
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _ids(seed: str) -> Draw:
    """Random UUIDs, version 4."""
    draw = random.Random(seed).getrandbits  # noqa: S311 - names, not secrets

    def fresh() -> str:
        text = f"{draw(128) & _UUID_FREE | _UUID4:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    return fresh


def _draws(values: Mapping[str, Any], lists: Mapping[str, list[str]], seed: str) -> dict[str, Draw]:
    draw = random.Random(seed).random  # noqa: S311 - a customer's choice, not a secret
    return {name: _draw(value, lists, draw) for name, value in values.items()}


def _draw(
    value: Mapping[str, Any], lists: Mapping[str, list[str]], draw: Callable[[], float]
) -> Draw:
    if "pick" in value:
        choices = lists[value["pick"]]
        many = len(choices)
        return lambda: choices[int(draw() * many)]
    low, high = value["between"]
    span = high - low + 1
    return lambda: low + int(draw() * span)


def _templates(request: Mapping[str, Any], url: str, run_id: str) -> tuple[Part, Part | None]:
    where = urlsplit(url)
    path = where.path.rstrip("/") + request["path"]
    headers = {"Host": where.netloc, "User-Agent": "holdfast", MARK: run_id, **request["headers"]}
    body = None
    if request["body"] is not None:
        headers = {"Content-Type": "application/json", **headers}
        text = json.dumps(request["body"], separators=(",", ":"))
        body = _joined(_parts(_JSON_NAME, text, _json_part))
    fields = "".join(f"{name}: {filled(value)}\r\n" for name, value in headers.items())
    head = [f"{request['method']} ", *_parts(_NAME, path, _path_part), " HTTP/1.1\r\n"]
    return _joined([*head, *_parts(_NAME, fields, _plain_part)]), body


def _parts(
    pattern: re.Pattern[str], text: str, part: Callable[[re.Match[str]], Part]
) -> list[str | Part]:
    parts: list[str | Part] = []
    end = 0
    for match in pattern.finditer(text):
        parts += [text[end : match.start()], part(match)]
        end = match.end()
    return [*parts, text[end:]]


def _joined(parts: list[str | Part]) -> Part:
    """All of it as one function of the values."""
    form = "".join(one.replace("%", "%%") if isinstance(one, str) else "%s" for one in parts)
    made = [one for one in parts if not isinstance(one, str)]
    return lambda values: form % tuple([one(values) for one in made])


def _plain_part(match: re.Match[str]) -> Part:
    name = match[1]
    return lambda values: str(values[name])


def _path_part(match: re.Match[str]) -> Part:
    name = match[1]
    return lambda values: _in_path(str(values[name]))


@lru_cache(maxsize=10_000)
def _in_path(text: str) -> str:
    return quote(text, safe="")


def _json_part(match: re.Match[str]) -> Part:
    if whole := match["whole"]:
        return lambda values: json.dumps(values[whole])
    name = match["part"]
    return lambda values: json.dumps(str(values[name]))[1:-1]
