"""Clients that write and read the directory of primaries and the journal, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.topology.v1 import topology_pb2

from tests.chaos.group_client import GroupClient, NotDone, OutcomeOpen, Refused
from tests.chaos.holders import Holder
from tests.proof.history import History
from tests.proof.models import EpochRegister, Read, Versioned, Write
from tests.support.consensus_group import Group, MemberProcess, new_id

KEYS: Final = tuple(str(uuid.uuid5(uuid.NAMESPACE_DNS, f"cluster-{number}")) for number in range(6))
"""Clusters whose primary is written; at most eight clients use each."""
WRITER_COUNT: Final = 6
READER_COUNT: Final = 2
_LONGEST_PAUSE_S: Final = 0.04
_STEP_COUNT: Final = 3
_UNKNOWN: Final = frozenset(("CLUSTER_UNKNOWN",))
_OVERTAKEN: Final = frozenset(("STALE_FENCING_TOKEN",))


@dataclass
class Told:
    """What clients were told for certain.

    Attributes:
        epochs: Epochs acknowledged, by key.
        steps: Steps acknowledged as done: (recovery, number) -> data.
        closed: Recoveries acknowledged as closed.
        unexpected: Refusals that should not happen.
    """

    epochs: dict[str, set[int]] = field(default_factory=lambda: {key: set() for key in KEYS})
    steps: dict[tuple[str, int], bytes] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    unexpected: Counter[str] = field(default_factory=Counter)

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged."""
        return sum(len(epochs) for epochs in self.epochs.values()) + len(self.steps) + len(self.closed)


class Load:
    """All clients of a campaign."""

    def __init__(self, group: Group, holders: tuple[Holder, ...], history: History, seed: int) -> None:
        """Make clients that are idle."""
        self.told = Told()
        self._group = group
        self._holders = holders
        self._history = history
        self._random = random.Random(seed)
        self._value = 0

    async def run(self) -> None:
        """Write and read until cancelled."""
        async with asyncio.TaskGroup() as clients:
            for number in range(WRITER_COUNT):
                clients.create_task(self._write_for_ever(100 + number))
            for number in range(READER_COUNT):
                clients.create_task(self._read_for_ever(200 + number))
            clients.create_task(self._recover_for_ever())

    @property
    def _token(self) -> int:
        return max(holder.token for holder in self._holders)

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(0, _LONGEST_PAUSE_S))

    async def _write_for_ever(self, client: int) -> None:
        asking = GroupClient(self._group)
        while True:
            await self._pause()
            if self._token:
                await self._write(client, asking, self._random.choice(KEYS))

    async def _write(self, client: int, asking: GroupClient, key: str) -> None:
        self._value += 1
        request = pb.PublishPrimaryRequest(
            request_id=new_id(),
            cluster_id=key,
            alias=key,
            endpoint=topology_pb2.Endpoint(host=f"db{self._value}", port=3306),
            server_uuid=new_id(),
            recovery_id=new_id(),
        )

        async def publish(member: MemberProcess, within_s: float) -> pb.PublishPrimaryResponse:
            request.fencing_token = self._token
            return await member.registry.PublishPrimary(request, timeout=within_s)

        number = self._history.invoke(client, key, Write(request.endpoint.host))
        try:
            primary = (await asking.ask(publish)).primary
        except NotDone:
            self._history.refused(number)
        except OutcomeOpen:
            return
        except Refused as refused:
            self._history.refused(number)
            self.told.unexpected[refused.reason] += 1
        else:
            self._history.answered(number, Versioned(primary.endpoint.host, primary.epoch))
            self.told.epochs[key].add(primary.epoch)

    async def _read_for_ever(self, client: int) -> None:
        asking = GroupClient(self._group)

        while True:
            await self._pause()
            await self.read(client, asking, self._random.choice(KEYS))

    async def read(self, client: int, asking: GroupClient, key: str) -> None:
        """Read one key, as new as it gets."""
        request = pb.GetPrimaryRequest(cluster=key, consistency=pb.CONSISTENCY_LINEARIZABLE)

        async def get(member: MemberProcess, within_s: float) -> pb.GetPrimaryResponse:
            return await member.registry.GetPrimary(request, timeout=within_s)

        number = self._history.invoke(client, key, Read())
        try:
            primary = (await asking.ask(get, final=_UNKNOWN)).primary
        except Refused:  # Nobody wrote it yet.
            self._history.answered(number, EpochRegister().initial)
        except (NotDone, OutcomeOpen):
            self._history.refused(number)  # A read changes nothing.
        else:
            self._history.answered(number, Versioned(primary.endpoint.host, primary.epoch))

    async def _recover_for_ever(self) -> None:
        asking = GroupClient(self._group)
        while True:
            await self._pause()
            if self._token:
                try:
                    await self._recover(asking)
                except (NotDone, OutcomeOpen):
                    continue
                except Refused as refused:
                    if refused.reason not in _OVERTAKEN:  # A new holder would adopt it; this one gives up.
                        self.told.unexpected[refused.reason] += 1

    async def _recover(self, asking: GroupClient) -> None:
        recovery_id, token = new_id(), self._token
        register = pb.RegisterRecoveryRequest(
            recovery_id=recovery_id,
            fencing_token=token,
            cluster_id=new_id(),
            failed_instance="db1:3306",
            data=b"begun",
        )
        await asking.ask(
            lambda member, within_s: member.journal.RegisterRecovery(register, timeout=within_s), final=_OVERTAKEN
        )
        for number in range(1, _STEP_COUNT + 1):
            for phase in (pb.StepRecord.PHASE_INTENT, pb.StepRecord.PHASE_DONE):
                data = f"{recovery_id} {number}".encode()
                step = pb.StepRecord(number=number, phase=phase, fencing_token=token, data=data)
                record = pb.RecordStepRequest(recovery_id=recovery_id, fencing_token=token, step=step)
                await self._record(asking, record)
            self.told.steps[recovery_id, number] = data
        close = pb.CloseRecoveryRequest(recovery_id=recovery_id, fencing_token=token, data=b"ended")
        await asking.ask(
            lambda member, within_s: member.journal.CloseRecovery(close, timeout=within_s), final=_OVERTAKEN
        )
        self.told.closed.add(recovery_id)

    async def _record(self, asking: GroupClient, record: pb.RecordStepRequest) -> None:
        await asking.ask(lambda member, within_s: member.journal.RecordStep(record, timeout=within_s), final=_OVERTAKEN)
