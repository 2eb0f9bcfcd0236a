"""The guards' PromQL on a real Prometheus that scrapes counters whose truth is known."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import isnan
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.clock import SECOND, now_ns, ticks, until
from holdfast.errors import HoldfastError
from holdfast.prometheus import Prometheus
from holdfast.signals import Named, age, covered_shares, failed_shares
from lab.cache import Cache
from lab.programs import Sources, wanted_go, wanted_programs
from lab.progress import Progress
from tests.fakes import absent

HOST = "127.10.0.14"
METRIC = "edge_request_duration_seconds"
ENTRANCE = Named(METRIC)
W = 10  # seconds of the window
pytestmark = pytest.mark.lab


class Entrance:
    """Counters that grow evenly: good requests and failed ones a second, of one pod."""

    def __init__(self) -> None:
        self.good, self.failed, self.pod = 90, 10, "a"
        self._began_ns = now_ns()

    def restart(self, pod: str) -> None:
        """Another pod, whose counters begin at zero; the old one's are gone."""
        self.pod, self._began_ns = pod, now_ns()

    def text(self) -> str:
        """What is scraped."""
        seconds = (now_ns() - self._began_ns) / SECOND
        counts = {"200": self.good, "404": self.good, "502": self.failed, "503": self.failed}
        lines = [
            f'{METRIC}_count{{code="{code}",pod="{self.pod}"}} {rate * seconds}'
            for code, rate in counts.items()
        ]
        return f"# TYPE {METRIC}_count counter\n" + "\n".join(lines) + "\n"


@pytest.fixture
def entrance() -> Iterator[tuple[Entrance, ThreadingHTTPServer]]:
    """An entrance that is scraped until its server is shut down."""
    counters = Entrance()

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server calls it
            body = counters.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Metrics)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield counters, server
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture(scope="module")
def program() -> Path:
    """A real Prometheus, as the lab finds or builds it."""
    wanted = [one for one in wanted_programs() if one.name == "prometheus"]
    with Progress() as progress:
        return Sources(Cache.of_user(), progress).obtain(wanted, wanted_go()).prometheus


@pytest.fixture
def client(
    program: Path, entrance: tuple[Entrance, ThreadingHTTPServer], tmp_path: Path
) -> Iterator[Prometheus]:
    """It scrapes the entrance every second, and has done so for the whole window."""
    target = "{}:{}".format(*entrance[1].server_address[:2])
    scrape = {"job_name": "edge", "static_configs": [{"targets": [target]}]}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [scrape],
    }
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    url = absent(HOST)
    command = [
        str(program),
        f"--config.file={tmp_path / 'prometheus.yaml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command)
    found = Prometheus(url)
    try:
        assert until(lambda: covered(found) >= 1.0, seconds=60, every=0.5)
        yield found
    finally:
        process.terminate()
        process.wait(10)


def covered(client: Prometheus) -> float:
    """How much of the window has data; nothing while it starts."""
    try:
        return client.shares(covered_shares(ENTRANCE, [W])).get(W, 0.0)
    except HoldfastError:
        return 0.0


def failed(client: Prometheus) -> float:
    """The share that failed over the window."""
    return client.shares(failed_shares(ENTRANCE, [W]))[W]


def test_a_tenth_of_the_requests_fail(
    client: Prometheus, entrance: tuple[Entrance, ThreadingHTTPServer]
) -> None:
    """5xx is a failure, 404 is an answer; the truth is 20 of 200 a second."""
    assert failed(client) == pytest.approx(0.1)
    newest = client.number(age(ENTRANCE))
    assert newest is not None
    assert 0 <= newest < 2.5
    only = Named(METRIC, where={"code": "200"})
    assert client.shares(failed_shares(only, [W]))[W] == 0.0, "a matcher of ours narrows it"


def test_where_no_series_tells_its_code_nothing_is_known(client: Prometheus) -> None:
    """A label that is called otherwise must not read as no failure."""
    renamed = Named(METRIC, labels={"code": "status"})
    assert client.shares(failed_shares(renamed, [W])) == {}


@pytest.mark.row(28)
def test_a_pod_that_is_replaced_leaves_no_gap_and_no_negative_share(
    client: Prometheus, entrance: tuple[Entrance, ThreadingHTTPServer]
) -> None:
    """Counters begin again at zero, under another label: it is still a tenth."""
    entrance[0].restart("b")
    for _ in ticks(8, every=1):
        assert covered(client) >= 0.9
        assert 0.0 <= failed(client) <= 1.0
    assert failed(client) == pytest.approx(0.1, abs=0.02)


@pytest.mark.row(28)
def test_counters_that_restart_under_the_same_name(
    client: Prometheus, entrance: tuple[Entrance, ThreadingHTTPServer]
) -> None:
    entrance[0].restart("a")
    for _ in ticks(4, every=0.5):
        assert 0.0 <= failed(client) <= 1.0


@pytest.mark.row(27)
def test_an_entrance_that_vanished_has_no_age_and_its_window_empties(
    client: Prometheus, entrance: tuple[Entrance, ThreadingHTTPServer]
) -> None:
    """Prometheus marks its series stale: nothing must be read as all is well."""
    entrance[1].shutdown()
    entrance[1].server_close()
    assert until(lambda: client.number(age(ENTRANCE)) is None, seconds=10, every=0.5)
    assert until(lambda: covered(client) < 0.9, seconds=15, every=0.5)


@pytest.mark.row(27)
def test_a_quiet_entrance_is_no_number(
    client: Prometheus, entrance: tuple[Entrance, ThreadingHTTPServer]
) -> None:
    """No request: nothing is known of the share."""
    entrance[0].good = entrance[0].failed = 0
    entrance[0].restart("quiet")
    assert until(lambda: isnan(failed(client)), seconds=30, every=0.5)
