"""gRPC's own lines do not mix with ours on standard error."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_TELL = "import services.{0}, os, sys; print(os.environ['GRPC_VERBOSITY'], 'grpc' in sys.modules)"


@pytest.mark.parametrize("service", ["analysis", "consensus", "ctl", "discovery", "recovery"])
@pytest.mark.parametrize(("given", "used"), [(None, "ERROR"), ("DEBUG", "DEBUG")])
def test_service_tells_grpc_how_much_to_say_before_it_is_imported(service: str, given: str | None, used: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    if given is not None:
        environment["GRPC_VERBOSITY"] = given
    told = subprocess.run(
        [sys.executable, "-c", _TELL.format(service)], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [used, "False"]
