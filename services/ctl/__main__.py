"""Entry point of `primacy`: runs one command; every failure is one line and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from services.ctl.app import app
from services.ctl.failure import CtlError, Exit


def main() -> None:
    """Run the command of this process's arguments, and end with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
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
        if os.environ.get("PRIMACY_CTL_LOG_LEVEL", "").upper() == "DEBUG":
            traceback.print_exc()
        return _say(
            f"internal error: {type(error).__name__}; PRIMACY_CTL_LOG_LEVEL=DEBUG shows where, please report it",
            Exit.INTERNAL,
        )
    return Exit.OK


def _say(message: str, code: Exit) -> int:
    sys.stderr.write(f"primacy: {message}\n")
    return code


if __name__ == "__main__":
    main()
