"""Members that prove who they are with certificates (W1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from primacy.consensus.v1 import consensus_pb2 as pb

from tests.support.certificates import Authority, Certificate
from tests.support.consensus_group import Group, MemberProcess, consensus_group
from tests.support.eventually import eventually


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    """Three members that do not run yet."""
    async with consensus_group(tmp_path) as made:
        yield made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whose word all members take."""
    return Authority(tmp_path / "certificates")


def equip(member: MemberProcess, certificate: Certificate) -> None:
    for setting, path in (("CERT", certificate.cert), ("KEY", certificate.key), ("CA", certificate.ca)):
        member.environment[f"PRIMACY_CONSENSUS_TLS_{setting}_FILE"] = str(path)
    member.credentials = grpc.ssl_channel_credentials(
        certificate.ca.read_bytes(), certificate.key.read_bytes(), certificate.cert.read_bytes()
    )


async def two_are_heard(leader: MemberProcess) -> None:
    """Everybody counts as heard at the moment of the election (E11), so wait until that is over."""

    async def counted() -> bool:
        return (await leader.status()).quorum_have == 2

    await eventually(counted, within=5)


async def test_members_with_their_own_certificates_form_a_group(group: Group, authority: Authority) -> None:
    for member in group.members:
        equip(member, authority.issue(member.name))
        member.start()
    await group.leader(within=20)
    await group.agree()


async def test_member_with_an_expired_certificate_stays_outside(group: Group, authority: Authority) -> None:
    expired = group.member(3)
    for member in group.others(expired):
        equip(member, authority.issue(member.name))
    equip(expired, authority.issue(expired.name, valid_for=-timedelta(hours=1)))
    for member in group.members:
        member.start()
    leader = await group.leader(among=group.others(expired), within=20)
    await two_are_heard(leader)
    assert "became_leader" not in expired.output


async def test_member_with_the_certificate_of_another_is_named(group: Group, authority: Authority) -> None:
    impostor = group.member(3)
    for member in group.others(impostor):
        equip(member, authority.issue(member.name))
    equip(impostor, authority.issue("node2", file="stolen"))
    for member in group.members:
        member.start()
    leader = await group.leader(among=group.others(impostor), within=20)
    refused = "the certificate is not that of member node3"
    await eventually(lambda: refused in impostor.output or None, within=10, message=lambda: impostor.output)
    await two_are_heard(leader)


async def test_caller_without_a_certificate_is_not_answered(group: Group, authority: Authority) -> None:
    for member in group.members:
        equip(member, authority.issue(member.name))
        member.start()
    leader = await group.leader(within=20)
    async with grpc.aio.insecure_channel(leader.api_endpoint) as channel:
        plain: Any = channel.unary_unary("/primacy.consensus.v1.GroupService/GetStatus")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await plain(pb.GetStatusRequest().SerializeToString(), timeout=3)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("listener", ["LISTEN", "RAFT_LISTEN"])
def test_plain_text_off_loopback_is_refused(group: Group, listener: str) -> None:
    member = group.member(1)
    port = member.environment[f"PRIMACY_CONSENSUS_{listener}"].rpartition(":")[2]
    member.environment[f"PRIMACY_CONSENSUS_{listener}"] = f"0.0.0.0:{port}"
    member.start()
    assert member.wait() == 78
    assert "reachable from other machines" in member.output
