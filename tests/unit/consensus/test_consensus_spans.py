"""Spans of commands that are part of a trace (19)."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from services.consensus.raft.model import MILLISECOND, Entry, EntryKind, Role
from services.consensus.raft.outputs import Leadership, Output, PersistBatch
from services.consensus.spans import CommandSpans
from services.consensus.state.commands import GrantLease

COMMAND = GrantLease("recovery", 1, "s")
CALLER = SpanContext(trace_id=7, span_id=9, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
UNWANTED = SpanContext(trace_id=7, span_id=9, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))
WALL_MS = 1_000_000


class World:
    """Spans of a member whose clock stands until it is moved; wall time runs along."""

    def __init__(self, role: Role = Role.LEADER) -> None:
        self.now = 0
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        wall_clock = lambda: WALL_MS + self.now // MILLISECOND  # noqa: E731
        self.spans = CommandSpans(provider.get_tracer("test"), lambda: self.now, wall_clock)
        self.spans.output(0, Output(leadership=Leadership(role, 2, 1)))

    def at(self, milliseconds: int) -> int:
        self.now = milliseconds * MILLISECOND
        return self.now

    def commit_one(self) -> None:
        """Append at 2 ms, be durable at 5 ms, commit at 6 ms."""
        entry = Entry(5, 2, EntryKind.COMMAND, 0, b"x")
        self.spans.output(self.at(2), Output(persist=(PersistBatch(1, None, None, (entry,), 5, 2, None),)))
        self.spans.durable(self.at(5), 1)
        self.spans.output(self.at(6), Output(committed=(entry,)))

    def answered(self, caller: SpanContext, asked_ms: int = 1) -> dict[str, ReadableSpan]:
        """Answer a command at 8 ms; return its spans by name."""
        self.at(8)
        with use_span(NonRecordingSpan(caller)):
            self.spans.answered(COMMAND, asked_ms * MILLISECOND, "committed")
        return {span.name: span for span in self._exporter.get_finished_spans()}


def times(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    began, ended = (at // MILLISECOND - WALL_MS for at in (span.start_time, span.end_time))
    return began, ended


def test_command_of_a_trace_tells_where_its_time_went() -> None:
    world = World()
    world.commit_one()
    found = world.answered(CALLER)
    assert {name: times(span) for name, span in found.items()} == {
        "propose": (1, 8),
        "persist": (2, 5),
        "replicate": (2, 6),
        "apply": (6, 8),
    }
    propose = found["propose"]
    assert propose.attributes == {"command": "GrantLease", "outcome": "committed"}
    assert propose.parent == CALLER
    assert propose.context is not None
    for name in ("persist", "replicate", "apply"):
        parent = found[name].parent
        assert parent is not None
        assert (parent.trace_id, parent.span_id) == (CALLER.trace_id, propose.context.span_id)


def test_command_without_a_trace_that_is_wanted_makes_no_spans() -> None:
    world = World()
    world.commit_one()
    assert world.answered(UNWANTED) == {}
    assert world.answered(trace.INVALID_SPAN_CONTEXT) == {}


def test_command_that_no_batch_took_tells_only_of_itself() -> None:
    world = World()
    world.commit_one()
    assert set(world.answered(CALLER, asked_ms=7)) == {"propose"}


def test_what_a_follower_is_sent_is_nobodys_command() -> None:
    world = World(Role.FOLLOWER)
    world.commit_one()
    assert set(world.answered(CALLER)) == {"propose"}
