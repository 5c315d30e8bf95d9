"""What the API is made of: its services, and how each error is told."""

from __future__ import annotations

from typing import Final

import grpc

from services.consensus import errors
from services.consensus.state import group_errors, registry_errors
from services.consensus.wire.greeting import MemberRemoved, PeerRefused, StoreForgotten
from services.shared.runtime.errors import InvalidField, NoLeader
from services.shared.runtime.status import COMMON_ERRORS, ErrorRule, ErrorTable

DOMAIN: Final = "consensus.primacy"
"""`ErrorInfo.domain` of what this service refuses."""
SERVICES: Final = tuple(
    f"primacy.consensus.v1.{name}"
    for name in ("GroupService", "LeaseService", "RegistryService", "JournalService", "SessionService")
)
FORWARDED_SERVICES: Final = frozenset(SERVICES) - {"primacy.consensus.v1.LeaseService"}
"""Their calls may be answered by the leader for another member (P4); a lease is only granted beside the leader (F1)."""
_RETRY: Final = COMMON_ERRORS[NoLeader].details
_BAD_REQUEST: Final = COMMON_ERRORS[InvalidField].details
ERRORS: Final[ErrorTable] = {
    errors.LeaseHeld: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "LEASE_HELD"),
    errors.RecoveryOpen: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "RECOVERY_OPEN"),
    errors.AntiFlapping: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "ANTI_FLAPPING"),
    errors.RecoveryUnknown: ErrorRule(grpc.StatusCode.NOT_FOUND, "RECOVERY_UNKNOWN"),
    errors.RecoveryClosed: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "RECOVERY_CLOSED"),
    errors.StepEnded: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "STEP_ENDED"),
    errors.TooManyStops: ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STOPS"),
    errors.HoldOpen: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "HOLD_OPEN"),
    errors.Downtimed: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "DOWNTIMED"),
    errors.RecoveriesDisabled: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "RECOVERIES_DISABLED"),
    errors.PolicyChanged: ErrorRule(grpc.StatusCode.ABORTED, "POLICY_CHANGED"),
    errors.IndexNotApplied: ErrorRule(grpc.StatusCode.UNAVAILABLE, "INDEX_NOT_APPLIED", _RETRY),
    registry_errors.Contradiction: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT, "CONTRADICTION", _BAD_REQUEST),
    registry_errors.ItemUnknown: ErrorRule(grpc.StatusCode.NOT_FOUND, "ITEM_UNKNOWN"),
    registry_errors.RegistryFull: ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "REGISTRY_FULL"),
    registry_errors.MaintenanceHeld: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "MAINTENANCE_HELD"),
    registry_errors.AliasTaken: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "ALIAS_TAKEN"),
    registry_errors.SessionUnknown: ErrorRule(grpc.StatusCode.NOT_FOUND, "SESSION_UNKNOWN"),
    registry_errors.SessionSequencePassed: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "SESSION_SEQUENCE_PASSED"),
    registry_errors.SessionFull: ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_FULL", _RETRY),
    errors.RequestIdReused: ErrorRule(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
    errors.Overloaded: ErrorRule(grpc.StatusCode.UNAVAILABLE, "OVERLOADED", _RETRY),
    errors.CommandTooLarge: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT, "COMMAND_TOO_LARGE"),
    errors.OutcomeUnknown: ErrorRule(grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN", _RETRY),
    group_errors.ChangeBlocked: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "CHANGE_BLOCKED"),
    group_errors.TransferRefused: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "TRANSFER_REFUSED"),
    group_errors.ReplacementUnknown: ErrorRule(grpc.StatusCode.NOT_FOUND, "REPLACEMENT_UNKNOWN"),
    group_errors.InvalidSettings: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SETTINGS"),
    group_errors.VersionNotSupported: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "VERSION_NOT_SUPPORTED"),
    StoreForgotten: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "STORE_FORGOTTEN"),
    PeerRefused: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "PEER_REFUSED"),
    MemberRemoved: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "MEMBER_REMOVED"),
}
