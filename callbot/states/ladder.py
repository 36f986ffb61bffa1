"""The ladder: which session to try next when one is lost.

Newest resumable handle -> a fresh session that is told the conversation -> the next configured model -> give up. How far
down a loss goes is its `Decision`; what failed before in the same outage goes into the record.
"""

from callbot.effects import DropBacklog, Effect, OpenSession
from callbot.messages import Decision, Plan, SessionLost
from callbot.states.record import CallRecord, Session

# A handle that failed twice before setupComplete is taken for refused, whatever the failure said.
_RESUMES_PER_HANDLE = 2
# An overloaded or unreachable model gets so many tries before the next model has its turn.
_TRIES_PER_MODEL = 3


def first(record: CallRecord) -> tuple[CallRecord, tuple[Effect, ...]]:
    """Open the call's first session."""
    return _open(record, Plan.NEW, after_s=0.0)


def reopen(record: CallRecord, decision: Decision) -> tuple[CallRecord, tuple[Effect, ...]]:
    """Open a session after one that we closed ourselves: no failure, so no waiting."""
    if decision is not Decision.RESUME:
        record = record.but(handle=None)
    return _open(record, _plan(record), after_s=0.0)


def next_rung(record: CallRecord, lost: SessionLost) -> tuple[CallRecord, tuple[Effect, ...]] | None:
    """The next session to try after `lost`, or None when nothing is left to try."""
    was_open = record.session in {Session.OPEN, Session.CLOSING}
    limits = record.limits
    record = record.but(
        session=Session.NONE,
        tries=record.tries + 1,
        opening_failures=0 if was_open else record.opening_failures + 1,
    )
    if record.tries > limits.max_tries:
        return None
    effects: tuple[Effect, ...] = ()
    match lost.decision:
        case Decision.RESUME_WITHOUT_REPLAY:
            # Replaying what the service objected to would lose every session after it (1007 loops).
            effects = (DropBacklog(),)
            record = record.but(bad_audio=record.bad_audio + 1)
            if record.bad_audio > 1:
                record = record.but(handle=None)
        case Decision.FRESH:
            record = record.but(handle=None)
        case Decision.GIVE_UP:
            if record.model_index + 1 >= limits.models:
                return None
            record = _next_model(record)
        case Decision.RESUME | Decision.WAIT:
            pass
    if record.plan is Plan.RESUME and record.opening_failures >= _RESUMES_PER_HANDLE and lost.decision is not Decision.WAIT:
        record = record.but(handle=None)
    if record.opening_failures >= _TRIES_PER_MODEL and record.model_index + 1 < limits.models:
        record = _next_model(record)
    record, opening = _open(record, _plan(record), after_s=_delay_s(record, lost, at_once=was_open))
    return record, effects + opening


def _next_model(record: CallRecord) -> CallRecord:
    return record.but(model_index=record.model_index + 1, handle=None, opening_failures=0)


def _plan(record: CallRecord) -> Plan:
    if record.handle is not None:
        return Plan.RESUME
    return Plan.HISTORY if record.talked else Plan.NEW


def _delay_s(record: CallRecord, lost: SessionLost, *, at_once: bool) -> float:
    """Nothing for the first try after a session that worked, then doubling; the service's own Retry-After is honoured."""
    waiting = lost.decision is Decision.WAIT
    if record.tries == 1 and at_once and not waiting:
        return 0.0
    doublings = min(max(0, record.tries - (1 if waiting else 2)), 10)
    backoff_s = min(record.limits.backoff_max_s, record.limits.backoff_s * (1 << doublings))
    return max(backoff_s, lost.retry_after_s or 0.0)


def _open(record: CallRecord, plan: Plan, *, after_s: float) -> tuple[CallRecord, tuple[Effect, ...]]:
    record = record.but(session_no=record.session_no + 1, plan=plan, session=Session.OPENING, moving="", generating=False)
    opening = OpenSession(
        session_no=record.session_no,
        plan=plan,
        model_index=record.model_index,
        first_turn=record.turn + 1,
        after_s=after_s,
        handle=record.handle if plan is Plan.RESUME else None,
    )
    return record, (opening,)
