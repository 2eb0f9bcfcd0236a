"""Can these journeys be sent to this environment? Everything that the files alone can tell."""

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from holdfast.credentials import SECRET, filled
from holdfast.documents import Between, Customers, Environment, JourneyFile, Request
from holdfast.errors import InvalidInput

_NAME = re.compile(r"\$\{([^}]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)  # a header's name
_OURS = {
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
    "upgrade",
    "x-holdfast-run",
}


def check(
    environment: Environment, journeys: Mapping[str, JourneyFile], loads: Mapping[str, Any]
) -> None:
    """Can these journeys be sent to this environment?

    Raises:
        InvalidInput: names the journey and what is wrong with it.
    """
    _check_authorities(environment.customers)
    if not loads:
        raise InvalidInput("load", "it names no journey", "Give at least one journey a rate")
    for name in loads:
        if name not in journeys:
            raise InvalidInput(f"load: {name}", "no such journey", "Add it to journeys.yaml")
        if _CONTROL.search(name):
            raise InvalidInput(f"load: {name!r}", "not a plain name", "Rename the journey")
        for wrong in _wrongs(journeys[name], environment):
            raise InvalidInput(f"journeys.yaml: {name}", wrong, "Correct the journey")
        _check_secrets(name, journeys[name])


def _check_authorities(entrance: Customers) -> None:
    if not entrance.ca:
        return
    if urlsplit(entrance.url).scheme != "https":
        step = "Write an https:// entrance, or leave it out"
        raise InvalidInput("customers.ca", f"{entrance.url} is not https://", step)
    try:
        ssl.create_default_context(cafile=entrance.ca)
    except OSError as error:
        step = "Name a PEM file of certificates"
        raise InvalidInput(f"customers.ca: {entrance.ca}", str(error), step) from None


def _wrongs(journey: JourneyFile, environment: Environment) -> Iterator[str]:
    """What is wrong with a journey, as sentences."""
    yield from _wrong_values(journey, environment.customers.values)
    yield from _wrong_steps(journey)
    if journey.python and journey.python.rpartition(".")[0] not in environment.modules:
        yield f"the environment's `modules:` does not list the module of {journey.python}"
    if journey.money and not isinstance(journey.values.get("amount"), Between):
        yield "`money: true` needs a value `amount` with `between:`, in cents"
    if journey.money and "account" not in journey.values:
        yield "`money: true` needs a value `account`"
    requests = json.dumps([step.request.model_dump() for step in journey.walk])
    if journey.money and not journey.python and "${id}" not in requests:
        yield "`money: true` needs `${id}` in its request, or the ledger cannot be matched"


def _wrong_values(journey: JourneyFile, lists: Mapping[str, list[str]]) -> Iterator[str]:
    if "id" in journey.values:
        yield "`id` cannot be among its values: it is made fresh for each request"
    for name, value in journey.values.items():
        if isinstance(value, Between):
            if value.between[0] > value.between[1]:
                yield f"{name}: {value.between[0]} is above {value.between[1]}"
        elif not lists.get(value.pick):
            yield f"{name}: the environment's customers.values has no {value.pick}"
        elif any(_CONTROL.search(one) for one in lists[value.pick]):
            yield f"{name}: {value.pick} holds a control character"


def _wrong_steps(journey: JourneyFile) -> Iterator[str]:
    known = {"id", *journey.values}
    for step in journey.walk:
        yield from _wrong_request(step.request, known)
        if twice := known & step.take.keys():
            yield f"{min(twice)} is taken from an answer, and is a value already"
        known |= step.take.keys()
        if step.until and step.until.at_most >= journey.limit:
            yield "`until.at_most` is not shorter than the journey's limit"


def _wrong_request(request: Request, known: set[str]) -> Iterator[str]:
    plain = [SECRET.sub("", one) for one in request.headers.values()]
    texts = [request.path, json.dumps(request.body), *request.headers, *plain]
    if unknown := {one for text in texts for one in _NAME.findall(text)} - known:
        if name := next((one for one in unknown if one.startswith("secret:")), ""):
            yield f"${{{name}}} stands where it would be written down: a header's value may hold it"
        yield f"${{{min(unknown)}}} is not among its values"
    if re.search(r"\s", request.path) or any(_CONTROL.search(text) for text in texts):
        yield "its path or a header holds a blank or a control character"
    if not all(_TOKEN.fullmatch(name) for name in request.headers):
        yield "a header's name is not one"
    if ours := _OURS & {name.lower() for name in request.headers}:
        yield f"the header {min(ours)} is set by the customers themselves"


def _check_secrets(name: str, journey: JourneyFile) -> None:
    for step in journey.walk:
        for value in step.request.headers.values():
            try:
                filled(value)
            except InvalidInput as error:
                place = f"journeys.yaml: {name}: {error.thing}"
                raise InvalidInput(place, error.reason, error.next_step) from None
