"""What consensus says when the group has agreed that a recovery is not to be, as a blocker with a sentence. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from services.recovery.model import Blocker, RecoveryForbidden

Facts = Mapping[str, str]


def _downtimed(facts: Facts) -> RecoveryForbidden:
    scope = facts.get("scope", "")
    target = scope.partition(":")[2] or scope
    sentence = (
        f"{target} is in downtime until {facts.get('until', 'it is ended')}, set by {_by(facts)}; "
        f"`primacy downtime end {target}` ends it, or start the recovery by hand"
    )
    return RecoveryForbidden(Blocker.DOWNTIME, sentence)


def _disabled(facts: Facts) -> RecoveryForbidden:
    sentence = (
        f"automatic recoveries are switched off, until somebody switches them on, by {_by(facts)}; "
        "`primacy setting set recoveries on` does, or start the recovery by hand"
    )
    return RecoveryForbidden(Blocker.RECOVERIES_DISABLED, sentence)


def _policy_changed(facts: Facts) -> RecoveryForbidden:
    sentence = (
        f"policies changed at log index {facts.get('newest', '?')}, after they were read here; "
        "it is judged again when they are; `primacy policy list` shows them"
    )
    return RecoveryForbidden(Blocker.POLICY, sentence)


_SENTENCES: Final[Mapping[str, Callable[[Facts], RecoveryForbidden]]] = {
    "DOWNTIMED": _downtimed,
    "RECOVERIES_DISABLED": _disabled,
    "POLICY_CHANGED": _policy_changed,
}
"""By the reason of the refusal."""


def forbidden_by(reason: str, facts: Facts) -> RecoveryForbidden | None:
    """Return what a refusal of `RegisterRecovery` means; None when it is about something else.

    Args:
        reason: Of the refusal, as in `ErrorInfo`.
        facts: Its metadata.
    """
    sentence = _SENTENCES.get(reason)
    return None if sentence is None else sentence(facts)


def _by(facts: Facts) -> str:
    owner = facts.get("owner") or "somebody"
    return f"{owner} ({facts['reason']})" if facts.get("reason") else owner
