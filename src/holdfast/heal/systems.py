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

    @property
    def urls(self) -> list[str]:
        """Of every Toxiproxy."""
        return [one.url for one in self._environment.toxiproxy]

    @property
    def toxiproxies(self) -> dict[str, Toxiproxy]:
        """Every Toxiproxy, by URL."""
        return {url: self.toxiproxy(url) for url in self.urls}

    @property
    def tokens(self) -> dict[str, str]:
        """The names of the variables with the tokens, by URL, of those that want one."""
        wants = self._environment.toxiproxy
        return {one.url: one.token_env for one in wants if one.token_env}

    def may_hit(self, proxy: str) -> bool:
        """Does the policy name that proxy, or none at all, as a reaper's may?"""
        return proxy in (self._environment.policy.proxies or [proxy])

    def toxiproxy(self, url: str) -> Toxiproxy:
        """The one that a heal names.

        Raises:
            FaultRemains: the environment does not name it.
            InvalidInput: its token is not there.
        """
        for one in self._environment.toxiproxy:
            if one.url == url:
                return Toxiproxy(url, _token(one.token_env), _TOXIPROXY_S)
        raise FaultRemains(
            url, "the environment does not name this Toxiproxy any more", "Undo it by hand"
        )

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
