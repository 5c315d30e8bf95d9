"""`primacy consensus …` on a real group: what operators type, what they read, what scripts get."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import grpc

from tests.integration.ctl.ctl_world import Done, primacy
from tests.support.consensus_group import Group, consensus_group
from tests.support.eventually import eventually


async def consensus(group: Group, *arguments: str) -> Done:
    host, _, port = group.members[0].api_endpoint.rpartition(":")
    return await primacy("consensus", *arguments, "--nodes", f"{host}:{int(port) - 3}")


async def test_operator_adds_a_member_moves_leadership_and_removes_another(tmp_path: Path) -> None:
    async with consensus_group(tmp_path) as group, contextlib.AsyncExitStack() as stack:
        for member in group.members:
            member.start()
        leader = await group.leader()
        new = await group.joiner(stack, 4)
        new.start()

        where = ("--raft-endpoint", f"127.0.0.1:{new.raft_port}", "--api-endpoint", new.api_endpoint)
        tried = await consensus(group, "add", "node4", "--id", "4", *where, "--dry-run")
        assert (tried.code, tried.err) == (0, "")
        assert tried.out.startswith("nothing was changed; it would be: node4 is in, as member 4\n")
        added = await consensus(group, "add", "node4", "--id", "4", *where)
        assert added.out.startswith("node4 is in, as member 4\n")

        async def votes() -> bool:
            listed = await consensus(group, "members", "--output", "json")
            kinds = {member["name"]: member["kind"] for member in json.loads(listed.out)["members"]}
            return kinds.get("node4") == "MEMBER_KIND_VOTER"

        await eventually(votes, within=30)

        blocked = await consensus(group, "remove", leader.name)
        assert (blocked.code, blocked.out) == (1, "")
        assert "the change is blocked (LEADER_ITSELF)" in blocked.err
        moved = await consensus(group, "transfer", "node4")
        assert moved.out.startswith("node4 leads in term ")
        removed = await consensus(group, "remove", leader.name)
        assert removed.out.startswith(f"{leader.name} is out\n")

        status = await consensus(group, "status")
        assert status.out.startswith("led by node4 in term ")
        assert status.code == 0
        unknown = await consensus(group, "promote", "node9")
        assert unknown.code == 3
        assert "no member is called 'node9'" in unknown.err


async def test_settings_are_shown_checked_and_changed(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, 1) as group:
        group.members[0].start()
        await group.leader()
        assert "heartbeat        60 ms" in (await consensus(group, "settings")).out
        refused = await consensus(group, "settings", "--heartbeat", "200ms")
        assert refused.code == 2
        assert "heartbeat must be at most a quarter of election_min" in refused.err
        changed = await consensus(group, "settings", "--heartbeat", "50ms", "--output", "json")
        assert json.loads(changed.out)["settings"]["heartbeat"] == "0.050s"
        assert (await consensus(group, "raise-version")).out == "the group speaks version 1\n"


async def test_last_survivor_becomes_a_new_group_and_takes_new_members(tmp_path: Path) -> None:
    async with consensus_group(tmp_path) as group, contextlib.AsyncExitStack() as stack:
        for member in group.members:
            member.start()
        leader = await group.leader()
        await group.agree()
        survivor = group.others(leader)[0]
        members = survivor.environment["PRIMACY_CONSENSUS_MEMBERS"]
        for member in group.members:
            member.kill()
        store = ("--store", f"sqlite:///{survivor.database}")

        copied = await primacy("consensus", "backup", str(tmp_path / "copy.db"), *store)
        assert (copied.code, copied.err) == (0, "")
        looked = await primacy("consensus", "inspect", *store, "--output", "json")
        assert json.loads(looked.out)["member_id"] == survivor.member_id
        refused = await primacy("consensus", "recover", *store)
        assert refused.code == 1
        assert "nothing was changed" in refused.err
        done = await primacy("consensus", "recover", *store, "--i-accept-loss", "--output", "json")
        assert done.code == 0
        assert json.loads(done.out)["group_id"] != json.loads(done.out)["former_group_id"]

        survivor.start()
        assert await group.leader(among=(survivor,)) is survivor
        status = await survivor.status()
        assert [member.member_id for member in status.members] == [survivor.member_id]
        assert members == survivor.environment["PRIMACY_CONSENSUS_MEMBERS"]  # It needs no other settings for that.

        new = await group.joiner(stack, 7)
        new.start()
        host, _, port = survivor.api_endpoint.rpartition(":")
        where = ("--raft-endpoint", f"127.0.0.1:{new.raft_port}", "--api-endpoint", new.api_endpoint)
        added = await primacy("consensus", "add", "node7", "--id", "7", *where, "--nodes", f"{host}:{int(port) - 3}")
        assert added.code == 0

        async def votes() -> bool:
            return (await new.status()).quorum_need == 2

        await eventually(votes, within=30, retry_on=grpc.aio.AioRpcError)


async def test_damaged_or_absent_store_is_one_clear_line(tmp_path: Path) -> None:
    absent = await primacy("consensus", "inspect", "--store", f"sqlite:///{tmp_path / 'none.db'}")
    assert absent.code == 1
    assert absent.out == ""
    assert absent.err.count("\n") == 1
