"""The lab by hand.

python -m tests.support.lab install                     installs both servers ahead of the first test
python -m tests.support.lab up "p -> r1 r2(r3)"         runs a topology until interrupted
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from services.shared.topology.server import Flavor
from tests.support.lab.distribution import find_distribution
from tests.support.lab.errors import LabError
from tests.support.lab.lab import Lab
from tests.support.lab.template import find_template
from tests.support.lab.topology import InvalidTopology


def main(arguments: list[str]) -> int:
    """Run one command; return the process's exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "install":
            _install()
        else:
            asyncio.run(_up(options.topology, Flavor(options.flavor), semi_sync=options.semi_sync))
    except (LabError, InvalidTopology) as error:
        _say(str(error))
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.support.lab", description="Real MySQL servers on loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="install MySQL and MariaDB into the lab's cache")
    up = commands.add_parser("up", help="run a topology until interrupted")
    up.add_argument("topology", help="such as 'p@east -> r1 r2@west(r3)'")
    up.add_argument("--flavor", choices=[flavor.value for flavor in Flavor], default=Flavor.MYSQL.value)
    up.add_argument("--semi-sync", action="store_true")
    return parser


def _install() -> None:
    for flavor in Flavor:
        find_template(find_distribution(flavor, _say), _say)
    _say("ready")


async def _up(topology: str, flavor: Flavor, *, semi_sync: bool) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    template = find_template(find_distribution(flavor, _say), _say)
    async with Lab() as lab:
        fleet = await lab.deploy(topology, flavor=flavor, semi_sync=semi_sync)
        for instance in fleet:
            _say(f"{instance.name:<12} {instance.endpoint}  pid {instance.pid}  {instance.data_center}")
        _say(f"accounts and passwords: {template.credentials_file}")
        await ended.wait()


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
