"""Prometheus's HTTP API: raw answers, whole, or an error that says what is wrong.

Nothing here reads a series: judging does, from the answers that a run keeps.
"""

from dataclasses import dataclass
from typing import Any

from holdfast.errors import Silent, Unreachable
from holdfast.fetch import LARGE, SMALL, Answer, Limits, NoAnswer, fetch, with_query
from holdfast.signals import NOW

CALL_S = 10.0  # one call, from looking up the name to the last byte of the answer
_QUERY = "/api/v1/query"
_EXCERPT = 200  # characters of a foreign answer that an error quotes


@dataclass(frozen=True)
class Alert:
    """An alert that is pending or firing. One without a label `severity` has an empty severity."""

    name: str
    severity: str
    firing: bool


class Prometheus:
    """One server, or anything that speaks its query API."""

    def __init__(self, url: str, call_s: float = CALL_S) -> None:
        self.url = url.rstrip("/")
        self._call_s = call_s

    def version(self) -> str:
        """Its version, such as `3.5.0`."""
        answer = self._answer("/api/v1/status/buildinfo", {})
        version = answer["data"].get("version") if isinstance(answer["data"], dict) else None
        if not isinstance(version, str):
            raise Unreachable(self.url, "it does not tell its version", "Is this Prometheus?")
        return version

    def ready(self) -> bool:
        """Does it say that it can answer queries? It says no while it reads its log at start."""
        answer = self._get("/-/ready", {})
        if answer.status_code not in (200, 503):
            raise self._wrong("/-/ready", answer)
        return answer.status_code == 200

    def raw(self, query: str, at_wall_seconds: float) -> dict[str, Any]:
        """The whole answer to an instant query at a Unix time in seconds, warnings included.

        Raises:
            Unreachable: absent, silent, or the answer is an error or no answer of Prometheus.
        """
        return self._answer(_QUERY, {"query": query, "time": f"{at_wall_seconds:.3f}"})

    def now(self) -> float:
        """Its own clock, in Unix seconds, to the millisecond.

        Raises:
            Unreachable: absent, silent, or the answer is no time.
        """
        answer = self._answer(_QUERY, {"query": NOW})
        try:
            return float(answer["data"]["result"][1])
        except (KeyError, IndexError, TypeError, ValueError):
            step = "Is this Prometheus?"
            raise Unreachable(self.url, "it does not tell the time", step) from None

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, with labels, health and the last error of each."""
        answer = self._answer("/api/v1/targets", {"state": "active"})
        data = answer["data"]
        if not isinstance(data, dict) or not isinstance(data.get("activeTargets"), list):
            raise Unreachable(self.url, "it does not list its targets", "Is this Prometheus?")
        return list(data["activeTargets"])

    def alerts(self) -> list[Alert]:
        """The alerts that are pending or firing now.

        Raises:
            Unreachable: no such answer, one with warnings, or an alert of another form.
        """
        found = self._sound("/api/v1/alerts", {})
        try:
            return [_alert(one) for one in found["alerts"]]
        except (KeyError, TypeError, AttributeError):
            raise Unreachable(
                self.url, "it does not list its alerts", "Is this Prometheus?"
            ) from None

    def alerting_rules(self) -> list[str]:
        """The names of the alerts that it would raise."""
        found = self._sound("/api/v1/rules", {"type": "alert"})
        try:
            return [str(rule["name"]) for group in found["groups"] for rule in group["rules"]]
        except (KeyError, TypeError):
            raise Unreachable(
                self.url, "it does not list its rules", "Is this Prometheus?"
            ) from None

    def number(self, query: str) -> float | None:
        """What an instant query answers with now, by the server's clock; None when with nothing.

        Raises:
            Unreachable: no such answer, one with warnings, or more than one number.
        """
        found = self._vector(query)
        if len(found) > 1:
            raise Unreachable(self.url, f"{len(found)} numbers instead of one", "Look at the query")
        return next((value for _, value in found), None)

    def shares(self, query: str) -> dict[int, float]:
        """The numbers of an instant query now, by the label `window`.

        Raises:
            Unreachable: no such answer, or one with warnings.
        """
        return {int(labels["window"]): value for labels, value in self._vector(query)}

    def _vector(self, query: str) -> list[tuple[dict[str, str], float]]:
        found = self._sound(_QUERY, {"query": query})
        try:
            if found["resultType"] != "vector":
                raise TypeError(found["resultType"])
            return [(one["metric"], float(one["value"][1])) for one in found["result"]]
        except (KeyError, TypeError, ValueError, IndexError):
            raise Unreachable(
                self.url, "it does not answer with numbers", "Look at the query"
            ) from None

    def _sound(self, path: str, parameters: dict[str, str]) -> Any:
        """The data of an answer that came without warnings."""
        answer = self._answer(path, parameters)
        if warnings := answer.get("warnings"):
            raise Unreachable(
                self.url + path, f"it warns: {warnings}"[:_EXCERPT], "Look at its log"
            )
        return answer["data"]

    def _answer(self, path: str, parameters: dict[str, str]) -> dict[str, Any]:
        answer = self._get(path, parameters, LARGE if path == _QUERY else SMALL)
        try:
            document = answer.json()
        except ValueError:
            raise self._wrong(path, answer) from None
        if not isinstance(document, dict) or "status" not in document:
            raise self._wrong(path, answer)
        if document["status"] != "success" or answer.status_code != 200 or "data" not in document:
            kind, why = document.get("errorType", answer.status_code), document.get("error", "")
            raise Unreachable(self.url + path, f"it answered {kind}: {why}", "Look at the query")
        return document

    def _get(self, path: str, parameters: dict[str, str], most: int = SMALL) -> Answer:
        url = self.url + path
        try:
            return fetch(
                with_query(url, parameters) if parameters else url, Limits(self._call_s, most)
            )
        except NoAnswer as error:
            raise Silent(self.url, f"Prometheus {error}", "Is it running?") from None

    def _wrong(self, path: str, answer: Answer) -> Unreachable:
        reason = f"it answered {answer.status_code}: {answer.excerpt()}"
        return Unreachable(self.url + path, reason, "Is this Prometheus? Look at its log")


def _alert(one: Any) -> Alert:
    labels = one["labels"]
    severity = str(labels.get("severity", "")).casefold()
    return Alert(str(labels["alertname"]), severity, one["state"] == "firing")
