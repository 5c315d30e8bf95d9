"""The bracket and the notes of one instance: what was not read is `?`, never fine."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.ctl.text import Mood, plain
from services.ctl.views.instance import bracket, notes, status
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance, Problem
from services.shared.topology.operators import Downtime, PromotionRule
from services.shared.topology.reading import Reading
from services.shared.topology.server import Flavor, SemiSync
from tests.unit.ctl.instances import FRESH, NOW, channel, key, primary, replica

FAILED = replace(FRESH, last_seen_time=NOW - timedelta(seconds=9), last_check_valid=False, error="timed out")


@pytest.mark.parametrize(
    ("instance", "text"),
    [
        pytest.param(primary("p"), "[-,ok,9.7.0,rw,ROW,>>,GTID]", id="a primary has no lag"),
        pytest.param(replica("r", "p"), "[0s,ok,9.7.0,ro,ROW,>>,GTID]", id="replica"),
        pytest.param(replica("r", "p", lag_s=None), "[?,ok,9.7.0,ro,ROW,>>,GTID]", id="unknown lag is not zero"),
        pytest.param(
            replica("r", "p", channel("q", "two", lag_s=7)), "[7s,ok,9.7.0,ro,ROW,>>,GTID]", id="the longest lag counts"
        ),
        pytest.param(
            replica("r", "p", channel("q", "two", lag_s=None)),
            "[?,ok,9.7.0,ro,ROW,>>,GTID]",
            id="one unknown lag makes it unknown",
        ),
        pytest.param(
            replace(replica("r", "p", lag_s=300), problems=(Problem.REPLICATION_LAG,)),
            "[5m00s,lagging,9.7.0,ro,ROW,>>,GTID]",
            id="lagging",
        ),
        pytest.param(
            replace(replica("r", "p"), reading=FAILED),
            "[?,unreachable,9.7.0,ro,ROW,>>,GTID]",
            id="lag of an old reading",
        ),
        pytest.param(Instance(key("n")), "[?,unchecked,?,?,?]", id="never read"),
        pytest.param(
            Instance(key("n"), reading=Reading(last_checked_time=NOW)), "[?,unreachable,?,?,?]", id="never answered"
        ),
        pytest.param(replace(primary("p"), log_bin=False), "[-,ok,9.7.0,rw,nobinlog,GTID]", id="no binary log"),
        pytest.param(
            replace(primary("p"), log_replica_updates=None, gtid_mode="OFF"), "[-,ok,9.7.0,rw,ROW]", id="no flags"
        ),
        pytest.param(
            replace(replica("r", "p"), flavor=Flavor.MARIADB, version="10.11.6-MariaDB-log", gtid_mode=""),
            "[0s,ok,10.11.6-MariaDB,ro,ROW,>>,GTID]",
            id="MariaDB",
        ),
        pytest.param(
            replace(primary("p"), semi_sync=SemiSync(source_enabled=True, source_status=True)),
            "[-,ok,9.7.0,rw,ROW,>>,GTID,semi:source]",
            id="semi-sync source",
        ),
        pytest.param(
            replace(primary("p"), semi_sync=SemiSync(source_enabled=True, source_status=False)),
            "[-,ok,9.7.0,rw,ROW,>>,GTID,semi:source:off]",
            id="semi-sync fell back",
        ),
        pytest.param(
            replace(replica("r", "p"), semi_sync=SemiSync(replica_enabled=True)),
            "[0s,ok,9.7.0,ro,ROW,>>,GTID,semi:replica:off]",
            id="semi-sync not known to work does not count as working",
        ),
    ],
)
def test_bracket(instance: Instance, text: str) -> None:
    assert plain(bracket(instance)) == text


@pytest.mark.parametrize(
    ("instance", "word", "mood"),
    [
        pytest.param(primary("p"), "ok", Mood.GOOD, id="healthy"),
        pytest.param(
            replace(primary("p"), problems=(Problem.NOT_RECENTLY_CHECKED,)),
            "stale",
            Mood.BAD,
            id="not looked at lately",
        ),
        pytest.param(
            replace(replica("r", "p"), channels=(replace(channel("p"), io_state=ThreadState.CONNECTING),)),
            "not-replicating",
            Mood.BAD,
            id="a connecting thread does not replicate",
        ),
        pytest.param(
            replace(replica("r", "p"), channels=(replace(channel("p"), sql_state=ThreadState.UNKNOWN),)),
            "not-replicating",
            Mood.BAD,
            id="a thread not read does not replicate",
        ),
    ],
)
def test_status_is_the_worst_thing(instance: Instance, word: str, mood: Mood) -> None:
    assert (status(instance).text, status(instance).mood) == (word, mood)


@pytest.mark.parametrize(
    ("instance", "note"),
    [
        pytest.param(
            replace(
                replica("r", "p"),
                channels=(replace(channel("p"), io_state=ThreadState.CONNECTING, io_errno=2003, io_error="refused"),),
            ),
            "IO thread connecting: 2003 refused",
            id="error of the IO thread",
        ),
        pytest.param(
            replace(
                replica("r", "p"),
                channels=(replace(channel("p"), sql_state=ThreadState.OFF, sql_errno=1062, sql_error="x" * 99),),
            ),
            "SQL thread off: 1062 " + "x" * 47 + "…",
            id="long error is cut",
        ),
        pytest.param(
            replace(replica("r", "p"), channels=(replace(channel("p", "east"), sql_state=ThreadState.OFF),)),
            "SQL thread of channel east off",
            id="thread that was stopped",
        ),
        pytest.param(replace(replica("r", "p"), errant_gtid_set="u:1-5"), "errant u:1-5", id="errant GTIDs"),
        pytest.param(
            replace(primary("p"), problems=(Problem.SEEN_TWICE,)),
            "seen twice: another endpoint has its server UUID",
            id="seen twice",
        ),
        pytest.param(replace(primary("p"), reading=FAILED), "timed out", id="why it does not answer"),
        pytest.param(
            replace(primary("p"), promotion_rule=PromotionRule.MUST_NOT), "promotion rule MUST_NOT", id="promotion rule"
        ),
        pytest.param(
            replace(primary("p"), downtime=Downtime("ann", "disk swap", NOW)),
            "downtime by ann: disk swap",
            id="downtime",
        ),
        pytest.param(primary("p"), "", id="nothing to say"),
    ],
)
def test_notes(instance: Instance, note: str) -> None:
    assert plain(notes(instance, key("p"), {key("p"), key("r")})).strip() == note
