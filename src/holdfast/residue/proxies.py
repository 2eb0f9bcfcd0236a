"""What is left in Toxiproxy: toxics, and proxies that are disabled. It keeps no times."""

from collections.abc import Iterator, Mapping

from holdfast import marks
from holdfast.residue.leftover import Leftover
from holdfast.toxiproxy import Proxy, by_hand


def left(url: str, proxies: Mapping[str, Proxy], token_env: str | None) -> Iterator[Leftover]:
    """Each proxy that does not listen, and each toxic; that variable has the token, if any."""
    curl = by_hand.curl(token_env)
    for proxy in proxies.values():
        found = {name: marks.of_toxic(name) for name in proxy.toxics}
        where = f"proxy {proxy.name} at {url}"
        cut = next((mark for mark in found.values() if mark and mark.kind == "cut"), None)
        if not proxy.enabled:
            enable = by_hand.enable(url, proxy.name, curl)
            yield _one("disabled proxy", proxy.name, where, (cut, enable))
        for name, mark in found.items():
            remove = by_hand.remove(url, proxy.name, name, curl)
            yield _one("toxic", name, where, (mark, remove))


def _one(what: str, name: str, where: str, told: tuple[marks.Mark | None, str]) -> Leftover:
    mark, step = told
    if mark is None:
        return Leftover(what, name, where, step)
    step = f"holdfast undo --all-mine, or: {step}"
    owner = f"holdfast run {mark.run}"
    return Leftover(what, name, where, step, mark.run, owner, until=mark.expires)
