"""What any run or tool left behind in the systems that an environment names. Reads only.

Not being able to look is not clean: whatever could not be asked is named with its reason.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from holdfast.cluster import Cluster
from holdfast.errors import HoldfastError, Refused, Unreachable
from holdfast.residue import objects, proxies
from holdfast.residue.leftover import Leftover
from holdfast.toxiproxy import Toxiproxy

__all__ = ["Leftover", "Residue", "check", "find"]

_AT_ONCE = 8
_TOOLS = {"chaos-mesh.org": "Chaos Mesh", "litmuschaos.io": "Litmus"}
# Their other kinds are templates, results and settings: they break nothing.
_LITMUS = "chaosengines"
_CHAOS_MESH = ("schedules", "workflows")

_NEEDED = ("nodes", "toxiproxy ")  # who cannot look here may add one fault to another

type Look = Callable[[], Iterable[Leftover]]


@dataclass(frozen=True)
class Residue:
    """What was found, and what could not be asked: its name and why."""

    leftovers: tuple[Leftover, ...] = ()
    not_asked: Mapping[str, str] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Was everything asked, and is nothing there?"""
        return not self.leftovers and not self.not_asked


def find(
    cluster: Cluster,
    toxiproxies: Mapping[str, Toxiproxy],
    namespaces: Collection[str],
    tokens: Mapping[str, str] | None = None,
) -> Residue:
    """Ask every system at once. `namespaces` are those whose workloads may be broken.

    `tokens` names, by URL, the variable with the token of each Toxiproxy that wants one.
    """
    looks: dict[str, Look] = {"nodes": lambda: objects.nodes(cluster.listed("/api/v1/nodes"))}
    for url, toxiproxy in toxiproxies.items():
        looks[f"toxiproxy {url}"] = _proxies(url, toxiproxy, (tokens or {}).get(url))
    for name in sorted(namespaces):
        looks |= _namespace(cluster, name)
    found, wrong = _all(looks)
    more, also = _all(_tools(cluster, namespaces, wrong))
    return Residue(tuple(found + more), wrong | also)


def check(
    residue: Residue,
    targets: Iterable[Mapping[str, Any]],
    namespaces: set[str],
    *,
    needs_all: bool = False,
) -> None:
    """Is the ground clean enough for a run that hits these targets, watched in these namespaces?

    What could not be asked of workloads, policies and other tools stops it if it `needs_all`.

    Raises:
        Refused: a run of holdfast left something anywhere; anybody left a fault on these proxies
            and nodes, another tool's object or a policy that denies all in these namespaces; or
            nodes or a Toxiproxy could not be asked.
    """
    for name, why in residue.not_asked.items():
        if needs_all or name.startswith(_NEEDED):
            raise Refused(f"residue of {name}", f"nobody can tell: {why}", "Look at it by hand")
    mine = [one for one in residue.leftovers if one.run or _on(one, targets, namespaces)]
    if mine:
        first, more = mine[0], f", and {len(mine) - 1} more" if mine[1:] else ""
        raise Refused(
            str(first),
            f"{first.owner or 'somebody unknown'} left it there{more}",
            f"{first.next_step} (`holdfast residue` lists all)",
        )


def _on(one: Leftover, targets: Iterable[Mapping[str, Any]], namespaces: set[str]) -> bool:
    """Does it touch what a run is about to hit?"""
    if one.where.startswith("namespace "):
        return one.where.partition(" ")[2] in namespaces
    hit = {f"node {target['node']}" for target in targets if "node" in target}
    for target in targets:
        if "proxy" in target:
            hit.add(f"proxy {target['proxy']} at {target['toxiproxy']}")
    return one.where in hit


def _all(looks: Mapping[str, Look]) -> tuple[list[Leftover], dict[str, str]]:
    """What every look found, in their order; and why some could not."""

    def look(ask: Look) -> list[Leftover] | HoldfastError:
        try:
            return [*ask()]
        except HoldfastError as error:
            return error
        except (KeyError, TypeError, AttributeError, ValueError):
            return Unreachable("its answer", "it has another form", "Look at it by hand")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(looks, pool.map(look, looks.values()), strict=True))
    found = [one for answer in answers.values() if isinstance(answer, list) for one in answer]
    wrong = {name: str(one) for name, one in answers.items() if isinstance(one, HoldfastError)}
    return found, wrong


def _proxies(url: str, toxiproxy: Toxiproxy, token_env: str | None) -> Look:
    return lambda: proxies.left(url, toxiproxy.proxies(), token_env)


def _namespace(cluster: Cluster, name: str) -> dict[str, Look]:
    apps = f"/apis/apps/v1/namespaces/{name}"
    network = f"/apis/networking.k8s.io/v1/namespaces/{name}/networkpolicies"

    def scaled(kind: str) -> Look:
        return lambda: objects.workloads(kind, cluster.listed(f"{apps}/{kind}s"))

    return {
        f"deployments in {name}": scaled("deployment"),
        f"statefulsets in {name}": scaled("statefulset"),
        f"networkpolicies in {name}": lambda: objects.policies(cluster.listed(network)),
    }


def _tools(cluster: Cluster, namespaces: Collection[str], wrong: dict[str, str]) -> dict[str, Look]:
    """A look for each kind of object that other chaos tools have in this cluster."""

    def made(tool: str, resource: str, path: str) -> Look:
        return lambda: objects.others(tool, resource, cluster.listed(path))

    looks: dict[str, Look] = {}
    try:
        for tool, version, resource in _kinds(cluster):
            for name in sorted(namespaces):
                path = f"/apis/{version}/namespaces/{name}/{resource}"
                looks[f"{resource} in {name}"] = made(tool, resource, path)
    except HoldfastError as error:
        wrong["other chaos tools"] = str(error)
    except (KeyError, TypeError, AttributeError):
        wrong["other chaos tools"] = "the list of API groups has another form"
    return looks


def _kinds(cluster: Cluster) -> Iterator[tuple[str, str, str]]:
    """The tool, the group with its version, and the resource."""
    for group in cluster.read("/apis").get("groups", []):
        if (tool := _TOOLS.get(group["name"])) is None:
            continue
        version = group["preferredVersion"]["groupVersion"]
        for one in cluster.read(f"/apis/{version}").get("resources", []):
            name = one["name"]
            fault = name == _LITMUS or name.endswith("chaos") or name in _CHAOS_MESH
            if fault and one["namespaced"]:
                yield tool, version, name
