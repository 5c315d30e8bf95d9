"""Metrics of a real member: everything that the alert rules and the manual name is there."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import yaml

from tests.support.consensus_group import REPOSITORY, MemberProcess, acquire, consensus_group
from tests.support.eventually import eventually

PREFIX = "primacy_consensus_"


async def scrape(member: MemberProcess) -> str:
    events = [json.loads(line) for line in member.output.splitlines()]
    port = next(event["port"] for event in events if event["event"] == "consensus.metrics_serving")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(5):
        text = (await reader.read()).decode()
    writer.close()
    return text


def alerted() -> set[str]:
    """Return the series that alert rules look at."""
    rules = yaml.safe_load((REPOSITORY / "docs" / "alerts.yaml").read_text(encoding="utf-8"))
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return set(re.findall(rf"{PREFIX}\w+", " ".join(expressions)))


def documented() -> set[str]:
    """Return the names in the manual's table, prefixed."""
    text = (REPOSITORY / "docs" / "consensus.md").read_text(encoding="utf-8")
    table = text[text.index("| Metric | Tells |") :].split("\n\n")[0]
    cells = " ".join(line.split("|")[1] for line in table.splitlines()[2:])
    return {f"{PREFIX}{name}" for name in re.findall(r"`(\w+)[`{]", cells) if not name.startswith("process_")}


async def test_leader_serves_what_alerts_and_manual_name(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, 3, extra={"metrics_listen": "127.0.0.1:0"}) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        await acquire(leader)
        seen: set[str] = set()

        async def all_there() -> bool:
            for member in group.members:
                described = re.findall(rf"^# TYPE ({PREFIX}\w+) (\w+)", await scrape(member), re.MULTILINE)
                for name, kind in described:
                    seen.update({name, f"{name}_bucket"} if kind == "histogram" else {name})
            return alerted() | documented() <= seen | EVENTS

        await eventually(all_there, within=20, message=lambda: f"missing: {(alerted() | documented()) - seen - EVENTS}")
        assert documented() >= EVENTS
        assert f"{PREFIX}is_leader 1.0\n" in await scrape(leader)
        assert f"{PREFIX}quorum_need 2.0\n" in await scrape(leader)


EVENTS = {
    f"{PREFIX}{name}"
    for name in (
        "checkpoint_seconds",
        "digest_mismatch_total",
        "gc_pause_seconds",
        "lease_checks_total",
        "lease_lapses_total",
        "peer_clock_rate_ppm",
        "prevotes_total",
        "snapshot_install_seconds",
        "snapshots_installed_total",
        "snapshots_sent_total",
        "votes_refused_total",
    )
}
"""What a calm young group has nothing to tell of."""
