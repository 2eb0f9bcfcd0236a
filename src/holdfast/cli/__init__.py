"""Read arguments, call one function, set the exit code. Commands are imported when used."""

import importlib
import sys
import traceback
from io import TextIOWrapper
from typing import TextIO

import click

from holdfast import __version__
from holdfast.errors import HoldfastError
from holdfast.inert import inert
from holdfast.redact import redacted

_COMMANDS = {
    "doctor": "Is everything reachable, are versions good, may I do what is needed?",
    "plan": "Show what an experiment would break, and what is refused and why. Touches nothing.",
    "approve": "Approve an experiment as the second person that production needs.",
    "run": "Run an experiment: break, measure, heal, judge, report.",
    "compare": "Has a run become slower than the accepted runs before it?",
    "controls": "Run experiments without a fault and against planted defects.",
    "calibrate": "How well can this machine measure: lateness, timer, overhead, clocks.",
    "collect": "Ask every system again for its records of a run.",
    "judge": "Judge a run again from its folder, offline.",
    "observe": "Measure while somebody else breaks things. Injects nothing.",
    "mark": "Write down in a run that is under way that something happens now.",
    "report": "Render a run's report again, offline.",
    "budget": "What runs have cost of the yearly error budget, and what a year may bring.",
    "residue": "List what any run or tool left behind. Touches nothing.",
    "undo": "Undo whatever a run has left behind.",
    "stop": "End and undo the run that is going on, and refuse new ones.",
}

_EPILOG = """
\b
Example:
  holdfast plan experiments/slow-gateway.yaml
  holdfast run experiments/slow-gateway.yaml

\b
Exit codes: 0 held, 1 broken, 2 invalid input, 3 unknown, 4 aborted and healed,
5 a fault may remain, 6 refused or unreachable.
"""


class _Lazy(click.Group):
    """A group whose commands are imported when they are used, so that `--help` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        if ctx.resilient_parsing:
            return click.Command(cmd_name, short_help=_COMMANDS[cmd_name])
        module = importlib.import_module(f"holdfast.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="holdfast")
def group() -> None:
    """Break a payment platform on purpose, measure from the customer's side, and judge.

    A promise is held, broken or unknown. What could not be measured is never held.
    """


class _Discreet(TextIOWrapper):
    """A standard stream that no secret passes."""

    def write(self, text: str) -> int:
        return super().write(redacted(text))


def _discreet(stream: TextIO) -> TextIO:
    if not isinstance(stream, TextIOWrapper):
        return stream
    return _Discreet(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
    )


def main() -> None:
    """The console script: every error is one clear message and an exit code."""
    sys.stdout, sys.stderr = _discreet(sys.stdout), _discreet(sys.stderr)
    try:
        code = group(prog_name="holdfast", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except HoldfastError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except SystemExit:  # so click and rich end with 1, when nobody reads stdout any more
        sys.exit(3)
    except Exception:  # noqa: BLE001  # exit code 1 would say that a promise is broken
        for line in traceback.format_exc().splitlines():
            click.echo(inert(line), err=True)
        click.echo("error: this is a defect in holdfast; nothing is known", err=True)
        sys.exit(3)
    sys.exit(code)
