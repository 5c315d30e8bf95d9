"""What the group agrees on about itself, by commands: shared settings, its version, replacements (M4, 18.4, 18.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple

from services.consensus.app import ConsensusApp
from services.consensus.group_changes import GroupChanges
from services.consensus.raft.configuration import GroupMember
from services.consensus.state.chores import newest_common_version
from services.consensus.state.group_commands import BeginReplacement, CancelReplacement, RaiseGroupVersion
from services.consensus.state.group_commands import SetGroupSettings as SetSettings
from services.consensus.state.group_errors import InvalidSettings, VersionNotSupported
from services.consensus.state.group_settings import GroupSettings
from services.consensus.state.registry.origin import Origin
from services.consensus.state.replacements import Replacement, ReplacementState, encode_member


class GroupAgreements:
    """Use cases on the leader."""

    def __init__(
        self,
        app: ConsensusApp,
        changes: GroupChanges,
        spoken: Callable[[], Mapping[int, int]],
    ) -> None:
        """Take what the work is done with.

        Args:
            app: This member.
            changes: Of members.
            spoken: Newest group version each member speaks, by id, this one included.
        """
        self._app = app
        self._changes = changes
        self._spoken = spoken

    def settings(self) -> tuple[GroupSettings, int]:
        """Return the settings in force here, and the log index that set them; 0 = nobody did."""
        return self._app.timing(), self._app.loop.machine.group.settings_index

    async def set_settings(
        self, request_id: str, wanted: GroupSettings, *, validate_only: bool
    ) -> tuple[GroupSettings, int]:
        """Change settings for all members; a value of 0 stays as it is.

        Raises:
            InvalidSettings: They do not go together.
        """
        self._app.require_leader()
        present = self.settings()[0]
        merged = GroupSettings(*(new or old for new, old in zip(astuple(wanted), astuple(present), strict=True)))
        if problem := merged.problem():
            raise InvalidSettings(problem)
        if validate_only:
            return merged, 0
        agreed = await self._app.ask(GroupSettings, SetSettings(Origin(request_id), *astuple(merged)))
        return agreed, self._app.loop.machine.group.settings_index

    async def raise_version(self, version: int, *, validate_only: bool) -> int:
        """Have the group speak a newer version; 0 = the newest that every voter speaks.

        Raises:
            VersionNotSupported: A voter does not speak it, or was not heard since this member started; or it is older.
        """
        self._app.require_leader()
        present = self._app.loop.machine.group.version
        newest = newest_common_version(self._app.loop.configuration, self._spoken())
        wanted = version or max(newest, present)
        if wanted < present or wanted > max(newest, present):
            raise VersionNotSupported(wanted, newest=newest, present=present)
        if validate_only or wanted == present:
            return wanted
        return await self._app.ask(int, RaiseGroupVersion(wanted))

    async def replace_member(
        self, request_id: str, old_member_id: int, new: GroupMember, *, validate_only: bool
    ) -> Replacement:
        """Record the replacement of a member; whoever leads carries it on (M4)."""
        known = self._app.loop.machine.replacements.get(request_id)
        if known is None or validate_only:
            self._changes.member(old_member_id)
            await self._changes.add(new, force=False, validate_only=True)
        if validate_only:
            return Replacement(request_id, old_member_id, new, ReplacementState.ADD, log_index=0, begin_index=0)
        return await self._app.ask(Replacement, BeginReplacement(request_id, old_member_id, encode_member(new)))

    async def cancel_replacement(self, replacement_id: str) -> Replacement:
        """End a replacement before the old member is removed."""
        return await self._app.ask(Replacement, CancelReplacement(replacement_id))
