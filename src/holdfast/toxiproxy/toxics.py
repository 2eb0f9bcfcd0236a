"""What Toxiproxy holds: proxies and their toxics; and which toxics it would misunderstand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.errors import InvalidInput

# What a toxic of each kind has to have, each a whole number: milliseconds, or kilobytes a second.
ATTRIBUTES = {
    "latency": {"latency", "jitter"},
    "bandwidth": {"rate"},
    "reset_peer": {"timeout"},
}


@dataclass(frozen=True)
class Toxic:
    """A fault on one proxy's traffic; `toxicity` is the share of connections that it hits."""

    name: str
    kind: str
    attributes: Mapping[str, int]
    stream: str = "downstream"
    toxicity: float = 1.0


@dataclass(frozen=True)
class Proxy:
    """One path through Toxiproxy: where it listens, where it leads, and what is wrong with it."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: Mapping[str, Toxic]


def check(toxic: Toxic) -> None:
    """Refuse what the server would accept and misunderstand."""
    known, given = ATTRIBUTES.get(toxic.kind, set()), toxic.attributes
    if not known:
        wrong = f"no kind {toxic.kind!r}", f"Kinds: {', '.join(ATTRIBUTES)}"
    elif set(given) != known:
        names = ", ".join(sorted(given)) or "nothing"
        wrong = f"{toxic.kind} got {names}", f"It takes {', '.join(sorted(known))}"
    elif odd := [one for one in given.values() if type(one) is not int or one < 0]:
        wrong = f"{odd[0]!r} is not a whole number from 0", "Correct the value"
    elif not 0 <= toxic.toxicity <= 1:
        wrong = f"a toxicity of {toxic.toxicity:g} is no share", "It lies between 0 and 1"
    elif toxic.stream not in ("upstream", "downstream"):
        wrong = f"no stream {toxic.stream!r}", "It is upstream or downstream"
    else:
        return
    raise InvalidInput(f"toxic {toxic.name}", *wrong)


def parse(data: Any) -> Proxy:
    toxics = [
        Toxic(one["name"], one["type"], one["attributes"], one["stream"], one["toxicity"])
        for one in data["toxics"]
    ]
    by_name = {one.name: one for one in toxics}
    return Proxy(data["name"], data["listen"], data["upstream"], data["enabled"], by_name)
