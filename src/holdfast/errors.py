"""Every error that holdfast raises.

HoldfastError
├── InvalidInput        a file or an argument that people wrote is wrong            exit 2
├── Refused             policy forbids it, or the target is not what the file says   exit 6
├── Unreachable         a system is absent, silent, or answers nonsense              exit 6
│   └── Silent          it was asked and did not answer in time, or is not there     exit 6
├── FaultNotApplied     the fault could not be made, or does not read back           exit 4
├── FaultRemains        an undo could not be made, or does not read back             exit 5
│   └── Conflict        somebody else has changed the target since: left alone       exit 5
└── Aborted             a person or a signal ended the run                           exit 4

Each one names the thing, the reason and the next step; none holds a secret, or a character that
acts on a terminal.
"""

from holdfast.inert import inert
from holdfast.redact import redacted


class HoldfastError(Exception):
    """Something went wrong that a person has to know about."""

    exit_code = 2

    def __init__(self, thing: str, reason: str, next_step: str) -> None:
        self.thing = inert(redacted(thing))
        self.reason = inert(redacted(reason))
        self.next_step = inert(redacted(next_step))
        super().__init__(f"{self.thing}: {self.reason}. {self.next_step}")


class InvalidInput(HoldfastError):
    """A file or an argument that people wrote is wrong; nothing was touched."""


class Refused(HoldfastError):
    """Policy forbids it, or the target is not what the file says; nothing was touched."""

    exit_code = 6


class Unreachable(HoldfastError):
    """A system is absent, silent, or answers nonsense."""

    exit_code = 6


class Silent(Unreachable):
    """It was asked and did not answer in time, or is not there: asking again may help."""


class FaultNotApplied(HoldfastError):
    """The fault could not be made, or could not be read back."""

    exit_code = 4


class FaultRemains(HoldfastError):
    """An undo could not be made, or could not be read back: look at the target now."""

    exit_code = 5


class Conflict(FaultRemains):
    """Somebody else has changed the target since the fault; what they did was left alone."""


class Aborted(HoldfastError):
    """A person, a signal or a lost system ended the run before its time."""

    exit_code = 4
