"""Is every system that an environment names there, and does it answer well?"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from holdfast import guard, lock, rights
from holdfast.clock import within
from holdfast.cluster import Cluster, deployed
from holdfast.documents import Customers, Environment
from holdfast.errors import HoldfastError, Unreachable
from holdfast.fetch import Limits, NoAnswer, fetch
from holdfast.heal import open_systems
from holdfast.probes.ledger import settlements, sums, transfers
from holdfast.prometheus import Prometheus

_ASK_S = 5.0  # until a system counts as silent
_FAR_S = 9_999_999_999.0  # since then a record holds nothing: only whether it answers is asked


def ask(environment: Environment) -> dict[str, str]:
    """Every system's version; the first that does not answer well is the error."""
    answers = _answered(questions(environment))
    for answer in answers.values():
        if isinstance(answer, HoldfastError):
            raise answer
    return {name: str(answer) for name, answer in answers.items()}


def problems(environment: Environment) -> dict[str, HoldfastError | str]:
    """Each system's version, the rights, and what of deploy/ is there, for `holdfast doctor`."""
    kubeconfig = environment.kubernetes.kubeconfig
    more: dict[str, Callable[[], str]] = {
        "rights": lambda: _all_rights(environment),
        "admission policy": lambda: deployed.admission(kubeconfig),
        "reaper": lambda: deployed.reaper(kubeconfig, environment.kubernetes.namespace),
    }
    asked = questions(environment)
    return _answered(asked | more | asked)  # a system that a run needs is asked as for a run


def _answered(asked: Mapping[str, Callable[[], str]]) -> dict[str, HoldfastError | str]:
    """What each question was answered with, all asked at once."""

    def answer(question: Callable[[], str]) -> HoldfastError | str:
        try:
            return question()
        except HoldfastError as error:
            return error

    with ThreadPoolExecutor(len(asked)) as pool:
        return dict(zip(asked, pool.map(answer, asked.values()), strict=True))


def questions(environment: Environment) -> dict[str, Callable[[], str]]:
    """For each system, the call that tells its version, or raises what is wrong with it."""
    asked: dict[str, Callable[[], str]] = {
        "kubernetes": lambda: _kubernetes(environment),
        "prometheus": lambda: Prometheus(environment.prometheus.url, _ASK_S).version(),
        "entrance": lambda: _entrance(environment.customers),
    }
    for url, toxiproxy in open_systems(environment).toxiproxies.items():
        asked[f"toxiproxy {url}"] = toxiproxy.version
    if (ledger := environment.ledger) is not None:
        asked["ledger"] = lambda: _record(str(ledger.transfers), lambda: transfers(ledger, _FAR_S))
        asked["settlements"] = lambda: _record(
            str(ledger.settlements), lambda: settlements(ledger, _FAR_S)
        )
        if ledger.sums:
            asked["sums"] = lambda: _record(str(ledger.sums), lambda: sums(ledger, _FAR_S))
    asked["lock"] = lambda: lock.look(environment)
    if environment.reaper == "required":
        asked["reaper"] = lambda: lock.look_for_reaper(environment)
    return asked


def _kubernetes(environment: Environment) -> str:
    cluster = Cluster(environment.kubernetes.kubeconfig)
    guard.check_cluster(environment, cluster.uid())
    return cluster.version()


def _all_rights(environment: Environment) -> str:
    return rights.words(rights.granted(environment, (rights.ZONES, rights.PODS)))


def _entrance(entrance: Customers) -> str:
    url = entrance.url
    try:
        code = fetch(url, Limits(_ASK_S, ca=entrance.ca)).status_code
    except NoAnswer as error:
        why = f"the customers' entrance {error}"
        raise Unreachable(url, why, "Is it running?") from None
    if code >= 500:
        raise Unreachable(url, f"it answered {code}", "Look at the log of the customers' entrance")
    return "answers"


def _record(name: str, read: Callable[[], object]) -> str:
    try:
        within(_ASK_S, read)
    except TimeoutError:
        raise Unreachable(name, f"no answer within {_ASK_S:g} s", "Is it running?") from None
    return "answers"
