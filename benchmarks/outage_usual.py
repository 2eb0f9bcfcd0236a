"""The same outages, as one would measure them without holdfast."""

import contextlib
import http.client
import logging
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from chaoslib.run import EventHandlerRegistry, Schedule, run_hypothesis_continuously

from benchmarks.outage_trials import Trial
from holdfast.clock import SECOND, Anchor, now_ns, sleep, until
from lab.processes import die_with_parent
from lab.programs import programs

KRKN_PAUSE_S, KRKN_TIMEOUT_S = 2.0, 3.0  # krkn 6738978, its defaults
HYPOTHESIS_S = 1.0  # Chaos Toolkit's default frequency
PROMETHEUS = "127.11.0.31:19090"
SCRAPES_S = (1, 5)
RULES = ((1, "5s"), (5, "25s"), (1, "1m"), (5, "1m"))  # scraped every so many seconds, window
BAD_SHARE = 0.001  # above it, the service counts as bad
NICE = 10  # services and customers go first: of the usual ways, milliseconds are not asked

type Period = tuple[float, float]  # ns of the monotonic clock


@dataclass
class Poller:
    """One request after the other, as Krkn's health check: a period is told when its code changes.

    The change deletes what it knew, so that a period starts with the sample after its first.
    """

    url: str
    periods: list[Period] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until stopped."""
        code, since_ns = 200, now_ns()
        known = True
        while not self.stopped.is_set():
            found = _get(self.url)
            if not known:
                code, since_ns, known = found, now_ns(), True
            elif found != code:
                if code != 200:
                    self.periods.append((since_ns, now_ns()))
                known = False
            self.stopped.wait(KRKN_PAUSE_S)


def _get(url: str) -> int:
    """The answer's code; 0 when there is none."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=KRKN_TIMEOUT_S)
    try:
        connection.request("GET", where.path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@dataclass
class Hypothesis:
    """Chaos Toolkit's steady-state hypothesis, run continuously by its own code."""

    url: str
    journal: dict[str, Any] = field(
        default_factory=lambda: {"status": "", "steady_states": {"during": []}}
    )
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until stopped."""
        provider = {"type": "http", "url": self.url, "timeout": KRKN_TIMEOUT_S}
        probe = {"type": "probe", "name": "served", "tolerance": 200, "provider": provider}
        experiment = {"steady-state-hypothesis": {"title": "served", "probes": [probe]}}
        schedule = Schedule(continuous_hypothesis_frequency=HYPOTHESIS_S)
        registry = EventHandlerRegistry()
        run_hypothesis_continuously(
            self.stopped, schedule, experiment, self.journal, {}, {}, registry, None
        )

    def periods(self, anchor: Anchor) -> list[Period]:
        """From the end of the first probe that failed to that of the first that did not."""
        found: list[Period] = []
        since: float | None = None
        for state in self.journal["steady_states"]["during"]:
            at_ns = anchor.to_mono_ns(_wall_ns(state["probes"][-1]["end"]))
            if not state["steady_state_met"] and since is None:
                since = at_ns
            elif state["steady_state_met"] and since is not None:
                found.append((since, at_ns))
                since = None
        return found


def _wall_ns(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * SECOND)


@dataclass
class Watched:
    """What the usual ways saw of each service."""

    addresses: Sequence[str]
    pollers: Sequence[Poller]
    hypotheses: Sequence[Hypothesis]

    def said(self, trial: Trial, service: int, *, long: bool) -> dict[str, float | None]:
        """How long each says that an outage lasted, in seconds; None when it did not notice.

        `rate()` is asked about the long ones only: it mixes up what lies within its window.
        """
        anchor = Anchor.take()
        found = {
            "Krkn's serial poller, every 2 s": _length(trial, self.pollers[service].periods),
            "Chaos Toolkit's continuous hypothesis, every 1 s": _length(
                trial, self.hypotheses[service].periods(anchor)
            ),
        }
        if long:
            start, end = (
                anchor.to_wall_ns(one) / SECOND for one in (trial.began_ns, trial.until_ns)
            )
            for every_s, window in RULES:
                shown = dashboard(self.addresses[service], every_s, window, (start, end))
                name = f"rate()[{window}], scraped every {every_s} s"
                found[name] = shown[-1] - shown[0] if shown else None
        return found


def _length(trial: Trial, periods: Iterable[Period]) -> float | None:
    mine = [one for one in periods if trial.began_ns <= one[1] <= trial.until_ns]
    return (mine[-1][1] - mine[0][0]) / SECOND if mine else None


@contextlib.contextmanager
def watching(addresses: Sequence[str]) -> Iterator[Watched]:
    """Both, for each service."""
    logging.getLogger("chaostoolkit").setLevel(logging.CRITICAL)
    urls = [f"http://{one}/" for one in addresses]
    pollers, hypotheses = [Poller(url) for url in urls], [Hypothesis(url) for url in urls]
    every: list[Poller | Hypothesis] = [*pollers, *hypotheses]
    threads = [threading.Thread(target=_yielding, args=(one,), daemon=True) for one in every]
    try:
        for number, thread in enumerate(threads):
            thread.start()
            sleep(0.05 + 0.013 * number % 0.05)  # at random phases
        yield Watched(addresses, pollers, hypotheses)
    finally:
        for one in every:
            one.stopped.set()
        for thread in threads:
            thread.join(10)


def _yielding(one: Poller | Hypothesis) -> None:
    os.nice(NICE)  # this thread alone, on Linux
    one.run()


@contextlib.contextmanager
def prometheus(addresses: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A real Prometheus that scrapes each service at each interval; Ctrl-C does not reach it."""
    jobs = "".join(
        f"  - job_name: every{seconds}s\n    scrape_interval: {seconds}s\n"
        f"    scrape_timeout: {min(seconds, 3)}s\n    static_configs: [{{targets: {addresses}}}]\n"
        for seconds in SCRAPES_S
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "prometheus.yaml")
        file.write_text(f"scrape_configs:\n{jobs}")
        command = [
            *("nice", "-n", str(NICE)),
            str(programs().prometheus),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={PROMETHEUS}",
            "--log.level=error",
        ]
        with subprocess.Popen(
            command,
            process_group=0,
            preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509  # no thread runs yet
        ) as process:
            try:
                assert until(lambda: _get(f"http://{PROMETHEUS}/-/ready") == 200, seconds=20)
                yield process
            finally:
                process.terminate()
                process.wait(20)


def dashboard(address: str, every_s: int, window: str, span_s: Period) -> list[float]:
    """The seconds (Unix) at which `rate()` shows more than 0.1 % bad, or the service not up."""
    mine = f'instance="{address}",job="every{every_s}s"'
    bad = f'rate(requests_total{{outcome="bad",{mine}}}[{window}])'
    total = f"sum(rate(requests_total{{{mine}}}[{window}]))"
    queries = f"sum({bad}) / {total} > {BAD_SHARE}", f"up{{{mine}}} == 0"
    return sorted({at for query in queries for at in _range(query, span_s)})


def _range(query: str, span_s: Period) -> Iterator[float]:
    asked: dict[str, str | float] = {
        "query": query,
        "start": span_s[0],
        "end": span_s[1],
        "step": 0.25,
    }
    answer = requests.get(f"http://{PROMETHEUS}/api/v1/query_range", params=asked, timeout=20)
    answer.raise_for_status()
    for series in answer.json()["data"]["result"]:
        yield from (float(at) for at, _ in series["values"])
