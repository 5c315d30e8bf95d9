"""Real servers on loopback for tests, benchmarks and the demo.

    async with Lab() as lab:
        fleet = await lab.deploy("p@east -> r1 r2@west(r3)", semi_sync=True)
        await fleet["p"].query("SELECT @@version")
        fleet["p"].kill()

`parse_topology` has the grammar, `Lab.deploy` the options. `python -m tests.support.lab install` installs the servers
ahead; without it the first deployment does.
"""

from services.shared.topology.server import Flavor
from tests.support.lab.accounts import Account, Credentials
from tests.support.lab.errors import LabError, ServerFailed, ServerUnavailable
from tests.support.lab.fleet import Fleet
from tests.support.lab.instance import LabInstance
from tests.support.lab.lab import Lab
from tests.support.lab.proxy import TcpProxy
from tests.support.lab.topology import InvalidTopology, parse_topology
from tests.support.lab.writer import Acknowledgement, Outage, Writer

__all__ = [
    "Account",
    "Acknowledgement",
    "Credentials",
    "Flavor",
    "Fleet",
    "InvalidTopology",
    "Lab",
    "LabError",
    "LabInstance",
    "Outage",
    "ServerFailed",
    "ServerUnavailable",
    "TcpProxy",
    "Writer",
    "parse_topology",
]
