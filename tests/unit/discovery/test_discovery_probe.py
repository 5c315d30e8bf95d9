"""One session with a server that answers as it is told; sessions with real servers are in the integration tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from services.discovery.model import ProbeDepth, ProbeFailure
from services.discovery.probe import ProbeSettings, Session
from services.discovery.settings import DiscoverySettings
from services.shared.mysql.connect import ConnectionSettings
from services.shared.runtime import clock
from services.shared.topology.instance import Instance
from services.shared.topology.operators import PromotionRule
from services.shared.topology.reading import FailureKind
from tests.support.mysql_stand_in import Answer, MysqlStandIn, mysql_stand_in

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
DATA_CENTER = "SELECT place FROM meta.site"
PROMOTION_RULE = "SELECT rule FROM meta.site"
CONNECTION = ConnectionSettings("user", "", read_timeout=timedelta(seconds=5))
SETTINGS = ProbeSettings(CONNECTION, DATA_CENTER, PROMOTION_RULE)
REFUSED: Answer = (1146, "no such table")


class Server:
    """Answers of a healthy server, some of which a test replaces; `hang` are statements never answered."""

    def __init__(self) -> None:
        self.uuid = UUID
        self.replaced: dict[str, Answer] = {}
        self.hang: set[str] = set()
        self.released = threading.Event()

    def __call__(self, sql: str) -> Answer:
        if sql in self.hang:
            self.released.wait(20)
        answers = {"": None, **self.healthy(), **self.replaced}
        return answers[max((start for start in answers if sql.startswith(start)), key=len)]

    def healthy(self) -> dict[str, Answer]:
        static = ("version", "version_comment", "hostname", "log_bin", "log_replica_updates", "binlog_format")
        return {
            "SELECT @@GLOBAL.read_only": [{"read_only": "0", "super_read_only": "0", "executed": f"{UUID}:1-5"}],
            "SELECT @@GLOBAL.version": [{**dict.fromkeys(static, "1"), "server_id": "7", "server_uuid": self.uuid}],
            "SELECT s.CHANNEL_NAME": [],
            "SHOW": [],
            "SHOW REPLICAS": [{"Host": "db2", "Port": "3306"}],
            "SHOW BINARY LOG": [{"File": "b.000001", "Position": "4"}],
            DATA_CENTER: [{"place": "east"}],
            PROMOTION_RULE: [{"rule": "prefer"}],
        }


def read(session: Session, depth: ProbeDepth = ProbeDepth.FULL) -> Instance:
    outcome = session.read(depth)
    assert isinstance(outcome, Instance), outcome
    return outcome


@contextmanager
def session_with(server: MysqlStandIn, settings: ProbeSettings = SETTINGS) -> Iterator[Session]:
    session = Session(server.key, settings, clock)
    yield session
    session.close()


def test_operator_queries_are_read_in_calls_of_their_own() -> None:
    with mysql_stand_in(Server()) as server, session_with(server) as session:
        found = read(session)
    assert (found.data_center, found.promotion_rule) == ("east", PromotionRule.PREFER)
    assert {DATA_CENTER, PROMOTION_RULE} <= set(server.round_trips)


def test_operator_query_that_hangs_leaves_the_instance_read_and_what_was_known() -> None:
    answers = Server()
    with mysql_stand_in(answers) as server, session_with(server) as session:
        read(session)
        answers.hang.add(DATA_CENTER)
        found = read(session)
        assert (found.data_center, found.promotion_rule) == ("east", PromotionRule.PREFER)
        asked = server.statements.count(DATA_CENTER)
        again = read(session)
        answers.released.set()
    assert again.data_center == "east"
    assert server.statements.count(DATA_CENTER) == asked  # Not again at once: it would hang again.


def test_operator_query_that_hangs_does_not_stand_in_the_way_of_a_burst() -> None:
    answers = Server()
    answers.hang.add(DATA_CENTER)
    with mysql_stand_in(answers) as server, session_with(server) as session:
        read(session, ProbeDepth.BURST)
        answers.released.set()
    assert DATA_CENTER not in server.statements


def test_operator_query_that_is_refused_leaves_what_was_known() -> None:
    answers = Server()
    with mysql_stand_in(answers) as server, session_with(server) as session:
        read(session)
        answers.replaced[DATA_CENTER] = REFUSED
        answers.replaced[PROMOTION_RULE] = [{"rule": "must_not"}]
        found = read(session)
    assert (found.data_center, found.promotion_rule) == ("east", PromotionRule.MUST_NOT)


def test_operator_query_of_two_statements_shifts_nothing() -> None:
    settings = replace(SETTINGS, data_center_query="SELECT place FROM meta.site; SELECT 1")
    with mysql_stand_in(Server()) as server, session_with(server, settings) as session:
        found = read(session)
    assert [replica.host for replica in found.reported_replicas] == ["db2"]
    assert (found.data_center, found.promotion_rule) == ("", PromotionRule.PREFER)


def test_operator_query_that_ends_in_a_comment_swallows_nothing() -> None:
    settings = replace(SETTINGS, data_center_query=DATA_CENTER + " -- of the site")
    with mysql_stand_in(Server()) as server, session_with(server, settings) as session:
        found = read(session)
    assert (found.data_center, found.promotion_rule) == ("east", PromotionRule.PREFER)
    assert all("--" not in text or ";" not in text for text in server.round_trips)


def test_what_a_new_connection_to_the_same_server_cannot_read_stays() -> None:
    answers = Server()
    with mysql_stand_in(answers) as server, session_with(server) as session:
        before = read(session)
        session.close()
        answers.replaced |= {DATA_CENTER: REFUSED, "SHOW REPLICAS": REFUSED}
        after = read(session)
    assert (after.data_center, after.reported_replicas) == ("east", before.reported_replicas)
    assert server.connections == 2


def test_nothing_stays_of_another_server_at_the_same_endpoint() -> None:
    answers = Server()
    with mysql_stand_in(answers) as server, session_with(server) as session:
        read(session)
        session.close()
        answers.uuid = "4350f323-7565-4e59-8763-4b1b83a0ce0e"
        answers.replaced |= {DATA_CENTER: REFUSED, "SHOW REPLICAS": REFUSED}
        after = read(session)
    assert (after.server_uuid, after.data_center, after.reported_replicas) == (answers.uuid, "", ())


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        pytest.param(1040, FailureKind.SATURATED, id="too_many_connections"),
        pytest.param(1203, FailureKind.SATURATED, id="too_many_of_the_account"),
        pytest.param(1226, FailureKind.SATURATED, id="resource_limit_of_the_account"),
        pytest.param(1205, FailureKind.TIMEOUT, id="lock_wait"),
        pytest.param(3024, FailureKind.TIMEOUT, id="mysql_statement_limit"),
        pytest.param(1969, FailureKind.TIMEOUT, id="mariadb_statement_limit"),
        pytest.param(1227, FailureKind.ACCESS_DENIED, id="privilege"),
        pytest.param(1064, FailureKind.REFUSED, id="anything_else"),
    ],
)
def test_failure_says_its_kind(number: int, kind: FailureKind) -> None:
    answers = Server()
    answers.replaced["SHOW REPLICA STATUS"] = (number, "no")
    with mysql_stand_in(answers) as server, session_with(server) as session:
        outcome = session.read(ProbeDepth.FULL)
    assert isinstance(outcome, ProbeFailure)
    assert (outcome.kind, outcome.number) == (kind, number)


@pytest.mark.parametrize("query", ["SELECT 1; SELECT 2", "SELECT 1 -- of the site", "SELECT 1 --"])
@pytest.mark.parametrize("name", ["data_center_query", "promotion_rule_query"])
def test_setting_that_is_more_than_one_plain_statement_is_refused(name: str, query: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be one statement"):
        DiscoverySettings.model_validate({"node": "n1", name: query})


def test_setting_may_end_in_a_semicolon() -> None:
    assert DiscoverySettings.model_validate({"node": "n1", "data_center_query": "SELECT 5--1;\n"})
