"""What a member tells Prometheus (19): gauges read from its status at each scrape, and how its process does."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from services.consensus.app import ConsensusApp
from services.consensus.core_metrics import PREFIX, SECOND, CoreMetrics, histogram
from services.consensus.lease_holders import LeaseHolders
from services.consensus.raft.model import Role, StoreHealth
from services.consensus.raft.outputs import PeerProgress, ReplicationState
from services.consensus.raft.status import lag, name_of
from services.consensus.store_figures import StoreFigures
from services.shared.runtime.metrics import Metrics

log = logging.getLogger(__name__)

_LAG_S: Final = 0.1
_ROLES: Final = {Role.FOLLOWER: 0, Role.PRE_CANDIDATE: 1, Role.CANDIDATE: 2, Role.LEADER: 3}
_HEALTHS: Final = {health: number for number, health in enumerate(StoreHealth)}

Values = Iterable[Observation]


class MemberGauges:
    """Gauges of one member, read at each scrape."""

    def __init__(
        self, meter: Meter, app: ConsensusApp, holders: LeaseHolders, core: CoreMetrics, figures: StoreFigures
    ) -> None:
        """Make the instruments."""
        self._app = app
        loop = app.loop
        self._meter = meter
        self._add("role", "0 follower, 1 pre-candidate, 2 candidate, 3 leader.", lambda: _ROLES[loop.leadership.role])
        self._add("term", "Present term.", lambda: loop.leadership.term)
        self._add("is_leader", "Leads with a valid lease.", lambda: int(loop.leads_with_lease()))
        self._add("ready", "The recovery beside it is alive.", lambda: int(loop.status().ready))
        self._add("voters", "Voters of the group.", lambda: len(loop.configuration.voters))
        self._add("quorum_have", "Voters in contact, itself included.", lambda: loop.status().quorum_have)
        self._add("quorum_need", "Voters needed.", lambda: loop.status().quorum_need)
        self._add("commit_index", "Highest committed log index known here.", lambda: loop.status().commit_index)
        self._add("applied_index", "Highest applied log index.", lambda: loop.machine.mark.applied_index)
        self._add("uncommitted_entries", "Entries that are not committed yet.", self._uncommitted)
        self._add("uncommitted_bytes", "Size of the commands that are not committed yet.", core.uncommitted_bytes)
        self._add("log_entries", "Entries kept in the log.", self._log_entries)
        self._add("log_bytes", "Size of the log.", lambda: loop.status().log_bytes)
        self._add("store_health", "0 ok, 1 slow, 2 stalled, 3 full, 4 failed.", lambda: _HEALTHS[loop.watch.health])
        self._add("persist_oldest_seconds", "Age of the oldest batch not durable yet.", core.oldest_persist_s)
        self._add("store_bytes", "Size of the database, its write-ahead log included.", lambda: figures.size_bytes)
        self._add("snapshot_bytes", "Size of the newest snapshot that was sent.", lambda: loop.snapshot_bytes)
        self._add("lease_valid_seconds", "How long the leader lease is still valid.", self._lease_valid)
        self._add("fencing_token", "Newest token of the lease `recovery`.", lambda: loop.machine.newest_token())
        self._add("holds", "Holds that have not ended.", lambda: len(loop.machine.journal.holds()))
        self._add("quarantined", "It distrusts its own store.", lambda: int(bool(loop.status().quarantine)))
        self._add("removed", "It was taken out of the group.", lambda: int(loop.status().removed))
        self._add("clock_drift_exceeded", "A clock runs too fast or slow for leases.", self._drifts)
        self._count("proposals", "Commands, by what became of them.", "outcome", app.outcomes)
        self._count("lease_checks", "Checks of a lease, by result.", "result", holders.checks)
        self._per_peer("peer_match_lag", "Entries a member is behind.", lambda peer: lag(loop.status(), peer))
        self._per_peer("peer_inflight", "Entries sent to a member that it has not acknowledged.", _in_flight)
        self._per_peer("peer_last_contact_seconds", "Time since a member was heard.", self._silence)
        self._per_peer("peer_rtt_seconds", "Newest round trip to a member.", _round_trip)
        self._per_peer(
            "peer_clock_rate_ppm", "How much faster a member's clock runs.", lambda peer: peer.clock_rate_ppm
        )

    def _add(self, name: str, description: str, read: Callable[[], float]) -> None:
        def observe(_: CallbackOptions) -> Values:
            yield Observation(read())

        self._meter.create_observable_gauge(PREFIX + name, callbacks=[observe], description=description)

    def _count(self, name: str, description: str, label: str, counts: Mapping[str, int]) -> None:
        def observe(_: CallbackOptions) -> Values:
            for key, count in counts.items():
                yield Observation(count, {label: key})

        self._meter.create_observable_counter(PREFIX + name, callbacks=[observe], description=description)

    def _per_peer(self, name: str, description: str, read: Callable[[PeerProgress], float | None]) -> None:
        def observe(_: CallbackOptions) -> Values:
            status = self._app.loop.status()
            for peer in status.peers:
                value = read(peer)
                if value is not None:
                    yield Observation(value, {"peer": name_of(status.configuration, peer.member_id)})

        self._meter.create_observable_gauge(PREFIX + name, callbacks=[observe], description=description)

    def _uncommitted(self) -> int:
        status = self._app.loop.status()
        return status.last_index - status.commit_index

    def _log_entries(self) -> int:
        status = self._app.loop.status()
        return status.last_index - status.mark.index

    def _lease_valid(self) -> float:
        loop = self._app.loop
        return max(0, loop.lease.valid_until - loop.read_clock()) / SECOND if loop.leads_with_lease() else 0.0

    def _drifts(self) -> int:
        return int(self._app.loop.status().clock_drift_exceeded)

    def _silence(self, peer: PeerProgress) -> float | None:
        return None if peer.heard_at is None else (self._app.loop.read_clock() - peer.heard_at) / SECOND


class MemberMetrics:
    """All metrics of a member: a witness of its core, gauges of its status, the health of its process."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Make the instruments of the core; `clock` is T1."""
        self._metrics = Metrics()
        self._meter = self._metrics.meter("consensus")
        self.witness = CoreMetrics(self._meter, clock)

    async def listen(self, host_port: str) -> None:
        """Serve them at an address.

        Raises:
            OSError: It is taken or not ours.
        """
        port = await self._metrics.listen(host_port)
        log.info("consensus.metrics_serving", extra={"port": port})

    async def run(self, app: ConsensusApp, holders: LeaseHolders, figures: StoreFigures) -> NoReturn:
        """Measure until cancelled, then serve no more."""
        MemberGauges(self._meter, app, holders, self.witness, figures)
        figures.checkpointed = histogram(
            self._meter, "checkpoint_seconds", "Moving the write-ahead log into the database."
        ).record
        app.loop.turned = self.witness.turned
        app.answered = (*app.answered, self.witness.answered)
        try:
            await ProcessMetrics(self._meter).run()
        finally:
            self._metrics.close()


class ProcessMetrics:
    """How well the process keeps up: lateness of its loop, pauses of the garbage collector."""

    def __init__(self, meter: Meter) -> None:
        """Make the instruments and listen to the collector."""
        self._lag = histogram(meter, "loop_lag_seconds", "How late the event loop runs what is due.")
        self._pause = histogram(meter, "gc_pause_seconds", "Pauses of the garbage collector.")
        self._began = 0.0
        gc.callbacks.append(self._collected)

    async def run(self) -> NoReturn:
        """Measure the loop until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                due = loop.time() + _LAG_S
                await asyncio.sleep(_LAG_S)
                self._lag.record(max(0.0, loop.time() - due))
        finally:
            gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        elif info["generation"] == 2:  # The others are many and short.
            self._pause.record(time.perf_counter() - self._began)


def _in_flight(peer: PeerProgress) -> int:
    replicates = peer.state is ReplicationState.REPLICATE
    return max(0, peer.next_index - 1 - peer.match_index) if replicates else 0


def _round_trip(peer: PeerProgress) -> float | None:
    return None if peer.rtt_ns is None else peer.rtt_ns / SECOND
