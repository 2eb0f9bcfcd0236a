"""What is left in Toxiproxy: toxics, and proxies that are disabled. It keeps no times."""

from collections.abc import Iterator, Mapping
from shlex import quote as shell
from urllib.parse import quote

from holdfast import marks
from holdfast.residue.leftover import Leftover
from holdfast.toxiproxy import Proxy


def left(url: str, proxies: Mapping[str, Proxy]) -> Iterator[Leftover]:
    """Each proxy that does not listen, and each toxic."""
    for proxy in proxies.values():
        found = {name: marks.of_toxic(name) for name in proxy.toxics}
        where = f"proxy {proxy.name} at {url}"
        cut = next((mark for mark in found.values() if mark and mark.kind == "cut"), None)
        if not proxy.enabled:
            enable = f"curl -d '{{\"enabled\": true}}' {shell(_api(url, proxy.name))}"
            yield _one("disabled proxy", proxy.name, where, (cut, enable))
        for name, mark in found.items():
            remove = f"curl -X DELETE {shell(_api(url, proxy.name, 'toxics', name))}"
            yield _one("toxic", name, where, (mark, remove))


def _api(url: str, *parts: str) -> str:
    return "/".join([url.rstrip("/"), "proxies", *(quote(part, safe="") for part in parts)])


def _one(what: str, name: str, where: str, told: tuple[marks.Mark | None, str]) -> Leftover:
    mark, step = told
    if mark is None:
        return Leftover(what, name, where, step)
    step = f"holdfast undo --all-mine, or: {step}"
    owner = f"holdfast run {mark.run}"
    return Leftover(what, name, where, step, mark.run, owner, until=mark.expires)
