"""A run without customers: the lock, the watchdog, one real action, held until told, undone.

In a folder with environment.yaml: `python short_run.py FAULT`. It writes each stage that it has
reached as a line, and holds until it is written a line. Signals, the watchdog and the undo are
wired as `holdfast run` wires them.
"""

import sys
from collections.abc import Callable

from holdfast import context, heal, lock, supervision
from holdfast.actions import gateway, zones
from holdfast.errors import HoldfastError
from holdfast.run.interrupts import Signals

FAULTS: dict[str, Callable[[], object]] = {
    "slow": lambda: gateway.slow("pix-primary", 300),
    "cut": lambda: gateway.cut("pix-primary"),
    "zone": lambda: zones.drop("matrix", ["wallet"]),
}


def say(*words: str) -> None:
    """One line."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def main() -> int:
    """0 undone after the hold, 4 aborted and undone, 5 something remains."""
    here, code = context.of(None), 0
    say("run", str(here.run.folder.resolve()))
    lock.acquire(here.run, here.environment)
    with Signals() as signals:
        watchdog = supervision.start(here.run)
        guardian = supervision.Guardian(watchdog, signals.interrupt)
        guardian.start()
        say("watched")
        try:
            FAULTS[sys.argv[1]]()
            say("active")
            sys.stdin.readline()
        except KeyboardInterrupt:
            code = 4
            say("interrupted", signals.why)
        except HoldfastError as error:
            code = 4
            say("error", str(error))
        signals.hold_off()
        left = heal.undo_all(here.run, here.environment)
        say("left" if left else "healed", *map(str, left))
        guardian.end(wait=not left)
    return 5 if left else code


if __name__ == "__main__":
    sys.exit(main())
