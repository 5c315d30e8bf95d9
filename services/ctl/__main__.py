"""Entry point of `primacy`: runs one command; every failure is one line and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

from services.ctl.health import probe

_SETTINGS: Final = "PRIMACY_CTL_"


def main() -> None:
    """Run the command of this process's arguments, and end with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    if _is_plain_probe(arguments):
        return probe(arguments[1])
    return _run_command(arguments)


def _is_plain_probe(arguments: Sequence[str]) -> bool:
    """Return whether this is `health HOST:PORT` and nothing else, which a container runs every few seconds."""
    if len(arguments) != 2 or arguments[0] != "health" or any(name.startswith(_SETTINGS) for name in os.environ):
        return False
    host, _, port = arguments[1].rpartition(":")
    return bool(host) and port.isdigit()


def _run_command(arguments: Sequence[str]) -> int:
    # Here, so that a probe does not load all this.
    from services.ctl.app import app
    from services.ctl.failure import CtlError, Exit

    try:
        app(args=list(arguments), prog_name="primacy")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else Exit.OK
    except CtlError as error:
        return _say(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:  # noqa: BLE001  the last line of defence
        if os.environ.get(f"{_SETTINGS}LOG_LEVEL", "").upper() == "DEBUG":
            traceback.print_exc()
        return _say(
            f"internal error: {type(error).__name__}; PRIMACY_CTL_LOG_LEVEL=DEBUG shows where, please report it",
            Exit.INTERNAL,
        )
    return Exit.OK


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"primacy: {message}\n")
    return code


if __name__ == "__main__":
    main()
