"""The systems that an environment names, opened when they are first needed."""

import os
from functools import cached_property

from holdfast.cluster import Cluster
from holdfast.documents import Environment
from holdfast.errors import FaultRemains, InvalidInput
from holdfast.toxiproxy import Toxiproxy

_TOXIPROXY_S = 2.0  # one call: before 2.13 its API can freeze, and an undo must not wait for it


class Systems:
    """The cluster and every Toxiproxy; none is asked before it is needed."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster. Which one it is, has to be asked before anything there is changed."""
        return Cluster(self._environment.kubernetes.kubeconfig)

    @cached_property
    def toxiproxies(self) -> dict[str, Toxiproxy]:
        """Every instance, by URL."""
        return {
            one.url: Toxiproxy(one.url, _token(one.token_env), _TOXIPROXY_S)
            for one in self._environment.toxiproxy
        }

    def toxiproxy(self, url: str) -> Toxiproxy:
        """The instance that a heal names."""
        if url not in self.toxiproxies:
            raise FaultRemains(
                url, "the environment does not name this Toxiproxy any more", "Undo it by hand"
            )
        return self.toxiproxies[url]

    def marked_cluster(self) -> Cluster:
        """The cluster that the marks were set in: another one knows nothing of them."""
        uid, expected = self.cluster.uid(), self._environment.kubernetes.cluster_uid
        if uid != expected:
            raise FaultRemains(
                f"cluster {expected}",
                f"the kubeconfig leads to {uid} now, where nothing was undone",
                "Point it at the cluster of the run",
            )
        return self.cluster


def _token(name: str | None) -> str | None:
    """The token that an environment variable holds."""
    if name is None:
        return None
    if not (token := os.environ.get(name)):
        raise InvalidInput(f"environment variable {name}", "it is not set", "Put the token there")
    return token
