"""When banks settled what, by their own clocks, against the span of the run."""

from collections.abc import Collection, Iterable
from functools import cached_property
from math import inf, isfinite

from holdfast.model import Json, Sample


class Settling:
    """The settlements of a run, as they were read after the ledger.

    `span_s` is when the run began and ended, `read_s` when ledger and banks began to be read, in
    Unix seconds. `own` holds the numbers of our customers' transfers.

    Raises:
        ValueError: one of them was settled at no time.
    """

    def __init__(
        self,
        samples: Iterable[Sample],
        ledger: Iterable[Json],
        settlements: Iterable[Json],
        span_s: tuple[float, float],
        read_s: float,
    ) -> None:
        self._began_s, self._ended_s = span_s
        self._read_s = read_s
        self._beside: dict[str, str] = {}  # others' ids on our customers' accounts, by number
        self.own = self._numbers(samples, ledger)
        self._own_s: list[float] = []
        self._first_s: dict[str, float] = {}  # of those that are not ours
        self._last_s: dict[str, float] = {}
        for one in settlements:
            number, at = str(one.get("end_to_end_id")), _settled_s(one)
            if number in self.own:
                self._own_s.append(at)
            else:
                self._first_s[number] = min(at, self._first_s.get(number, inf))
                self._last_s[number] = max(at, self._last_s.get(number, -inf))

    def accountable(self, before: Iterable[Json]) -> set[str]:
        """Of a record read before the ledger: the numbers that the ledger has to know of.

        Not those of transfers that others made before the run, which the ledger was not asked for.
        """
        since_s = self._since_s
        return {str(one.get("end_to_end_id")) for one in before if _settled_s(one) >= since_s}

    def beside(self) -> list[str]:
        """The ids of others' transfers on our customers' accounts that settled during the run."""
        since_s = self._since_s
        return sorted(
            id_ for end, id_ in self._beside.items() if self._last_s.get(end, -inf) >= since_s
        )

    def meanwhile(self, late: Iterable[str]) -> int:
        """How many of these came while the ledger was read."""
        return sum(self._first_s[number] > self._read_s for number in late)

    def doubt(self, late: Collection[str]) -> str:
        """Why these, of which the ledger knows nothing, are not excused; empty when they are.

        Excused is what was settled before the run, or while the ledger was read. Neither is known
        unless the banks' clocks put our own transfers into the run.
        """
        if (
            self._own_s
            and not self._began_s <= min(self._own_s) <= max(self._own_s) <= self._ended_s
        ):
            return "the bank side's clock does not fit: it settled our transfers outside of the run"
        if late and not self._own_s:
            return "the bank side settled none of our transfers, so nobody knows if its clock fits"
        missed = [
            number for number in late if self._since_s <= self._first_s[number] <= self._read_s
        ]
        if missed:
            return (
                f"{len(missed)} settlements of the run were told after the ledger was read only,"
                f" and it knows nothing of them ({min(missed)})"
            )
        return ""

    @cached_property
    def _since_s(self) -> float:
        return min([self._began_s, *self._own_s])

    def _numbers(self, samples: Iterable[Sample], ledger: Iterable[Json]) -> set[str]:
        sent = [(one.id, one.account) for one in samples if one.id]
        ids, accounts = {id_ for id_, _ in sent}, {account for _, account in sent}
        own = set[str]()
        for row in ledger:
            id_, number, account = row.get("id"), row.get("end_to_end_id"), row.get("account")
            if type(id_) is type(number) is type(account) is str:  # else the comparison refuses it
                if id_ in ids:
                    own.add(number)
                elif account in accounts:
                    self._beside[number] = id_
        return own


def _settled_s(settlement: Json) -> float:
    """When the bank side settled it, in Unix seconds."""
    at = settlement.get("settled_at")
    if not isinstance(at, int | float) or not isfinite(at):
        raise ValueError(f"settled_at is not a time in {dict(settlement)}")
    return float(at)
