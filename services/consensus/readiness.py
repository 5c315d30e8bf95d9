"""Whether this node could act if its member led: its recovery keeps a session alive (8.3). Pure."""

from __future__ import annotations


class Readiness:
    """Judges by the signs of life of the local recovery."""

    def __init__(self, grace_ns: int, now: int) -> None:
        """Begin to listen; `grace_ns` is the time without a recovery that could work after which it is not ready."""
        self._grace_ns = grace_ns
        self._able_at = now
        self._heard = False

    def beat(self, now: int, *, able: bool) -> None:
        """Take a sign of life; `able` says whether the recovery could do its work."""
        self._heard = True
        if able:
            self._able_at = now

    def judge(self, now: int, *, expected: bool) -> bool:
        """Tell whether the member is ready.

        Args:
            now: Local clock, nanoseconds.
            expected: The configuration names a recovery beside this member. Where it names none, and none was ever
                heard, a group without recoveries leads itself.
        """
        if not expected and not self._heard:
            return True
        return now - self._able_at <= self._grace_ns
