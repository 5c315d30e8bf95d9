"""What happens after the kill, told as it happens."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from primacy.analysis.v1 import analysis_pb2
from primacy.consensus.v1 import consensus_pb2

from demo.failure import StoryFailed
from demo.narrator import Narrator
from demo.views import is_dead_primary, watch_findings, watch_primaries
from services.ctl.client import Suite
from services.ctl.follow import follow
from services.ctl.group import blocked_findings
from services.ctl.text import Cell, bad, dim, good, strong, warn
from services.ctl.views.findings import finding_name
from services.ctl.views.plan import loss_line, phases_line, steps_lines
from services.ctl.views.status import blockers_lines
from services.ctl.words import endpoint_text
from services.shared.runtime.clock import utc_now
from tests.support.eventually import eventually
from tests.support.lab import Writer

RECOVER_WITHIN_S: Final = 60.0


@dataclass
class Scene:
    """What was seen since the kill.

    Attributes:
        narrator: Who tells it.
        killed: Endpoint of the primary that is going to be killed.
        killed_at_ns: Monotonic clock of the kill; 0 = not yet.
        findings_watched: The first message about findings is here.
        directory_watched: The first message about the directory is here.
        resumed: The application writes again.
        published: The new entry in the directory, once there is one.
    """

    narrator: Narrator
    killed: str
    killed_at_ns: int = 0
    findings_watched: asyncio.Event = field(default_factory=asyncio.Event)
    directory_watched: asyncio.Event = field(default_factory=asyncio.Event)
    resumed: asyncio.Event = field(default_factory=asyncio.Event)
    published: asyncio.Future[consensus_pb2.Primary] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def watched(self) -> None:
        """Wait until both streams have begun: nothing that happens from now on is missed."""
        await self.findings_watched.wait()
        await self.directory_watched.wait()

    @property
    def missing(self) -> str:
        """What has not happened yet, for the report of a failure."""
        if not (self.findings_watched.is_set() and self.directory_watched.is_set()):
            return "the leading node does not tell what it sees"
        return "the application cannot write again"

    def say(self, *parts: Cell) -> None:
        """Tell one thing with the time since the kill."""
        self._say_at(time.monotonic_ns(), *parts)

    def _say_at(self, time_ns: int, *parts: Cell) -> None:
        self.narrator.say(dim(f"{(time_ns - self.killed_at_ns) / 1e6:>6.0f} ms  "), *parts)

    async def follow_findings(self, suite: Suite) -> None:
        """Tell of each finding about the killed primary, once; runs until cancelled."""
        told: set[str] = set()
        async for message in watch_findings(suite):
            self.findings_watched.set()
            for finding in message.changed:
                if self.killed_at_ns and finding.orchestrator_code not in told and _about(finding, self.killed):
                    told.add(finding.orchestrator_code)
                    mark = bad if is_dead_primary(finding) else warn
                    self.say("analysis finds ", mark(finding_name(finding)), f": {finding.description}")

    async def follow_directory(self, suite: Suite) -> None:
        """Tell of the first change of the directory after the kill; runs until cancelled."""
        async for message in watch_primaries(suite):
            self.directory_watched.set()
            for primary in message.changed:
                if self.killed_at_ns and primary.epoch > 1 and not self.published.done():
                    self.say("the directory names ", good(endpoint_text(primary.endpoint)), f", epoch {primary.epoch}")
                    self.published.set_result(primary)

    async def follow_writer(self, writer: Writer) -> None:
        """Tell when the application writes again."""
        outage = await eventually(lambda: writer.outage(self.killed), within=2 * RECOVER_WITHIN_S)
        assert outage is not None
        self._say_at(outage.first.time_ns, "the application writes to ", good(outage.first.endpoint), " again")
        self.resumed.set()


def _about(finding: analysis_pb2.Finding, instance: str) -> bool:
    return endpoint_text(finding.instance) == instance and finding.kind != analysis_pb2.FINDING_KIND_NO_PROBLEM


async def published(scene: Scene, suite: Suite) -> consensus_pb2.Primary:
    """Wait for the successor's entry in the directory.

    Raises:
        StoryFailed: There is none in time; what stands in the way was shown.
    """
    try:
        return await asyncio.wait_for(asyncio.shield(scene.published), RECOVER_WITHIN_S)
    except TimeoutError:
        blocked = await blocked_findings(suite)
        scene.narrator.show(blockers_lines(blocked, utc_now()))
        raise StoryFailed(f"no successor was published within {RECOVER_WITHIN_S:.0f} s") from None


async def show_recovery(scene: Scene, suite: Suite, recovery_id: str) -> None:
    """Follow the recovery to its end, then show its steps.

    Raises:
        StoryFailed: It does not end in time.
    """
    try:
        async with asyncio.timeout(RECOVER_WITHIN_S):
            last = [recovery async for recovery in follow(suite, recovery_id)][-1]
    except TimeoutError:
        raise StoryFailed(f"recovery {recovery_id} did not end within {RECOVER_WITHIN_S:.0f} s") from None
    scene.say("recovery ended on ", strong(last.node), ", fencing token ", str(last.fencing_token))
    scene.narrator.stage("What the recovery did")
    scene.narrator.show(steps_lines(last.steps))
    scene.narrator.show([loss_line(last.loss), *phases_line(last)])
