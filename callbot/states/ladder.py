"""The ladder: which session to try next when one is lost.

Newest resumable handle -> a fresh session that is told the conversation -> the next configured model -> give up. How far
down a loss goes is its `Decision`; what failed before in the same outage is in its region.
"""

from dataclasses import replace
from typing import Final, assert_never

from callbot.effects import DropBacklog, Effect, OpenSession
from callbot.messages.session import SessionLost
from callbot.messages.terms import Decision, Plan, Refusal
from callbot.states.record import CallRecord
from callbot.states.regions import outage as outages
from callbot.states.regions.session import Opening, Session

# A handle that failed twice before setupComplete is taken for refused, whatever the failure said.
_RESUMES_PER_HANDLE: Final = 2
# An overloaded or unreachable model gets so many tries before the next model has its turn.
_TRIES_PER_MODEL: Final = 3

type Rung = tuple[CallRecord, tuple[Effect, ...]]


def first(record: CallRecord) -> Rung:
    """Open the stream's first session; of a conversation that has begun before, where it was left."""
    return _open(record, _plan(record))


def reopen(record: CallRecord, decision: Decision, *, patience_until_s: float) -> Rung | None:
    """Open a session after one that we closed ourselves; None where that would be tried without end."""
    if decision is not Decision.RESUME:
        record = _without_handle(record)
    if _is_spent(record):
        return None
    after_s = least_s = _paced(record, 0.0)
    return _open(record, _plan(record), after_s, least_s) if record.now_s + after_s <= patience_until_s else None


def next_rung(record: CallRecord, lost: SessionLost, before: Session, *, patience_until_s: float) -> Rung | None:
    """The next session to try after `lost`; None when nothing is left, or when it would come after `patience_until_s`.

    `before` is the session that was lost; the outage region has counted the loss already.
    """
    outage, limits, without = record.outage, record.limits, record.without
    if _is_spent(record):
        return None
    effects: tuple[Effect, ...] = ()
    decision = lost.decision
    if lost.refusal is not None and isinstance(before, Opening):
        record, decision = _refused(record, lost.refusal, decision)
        outage = record.outage
    match decision:
        case Decision.RESUME_WITHOUT_REPLAY:
            # Replaying what the service objected to would lose every session after it (1007 loops).
            effects = (DropBacklog(),)
            outage = replace(outage, bad_audio=outage.bad_audio + 1)
            record = replace(record, outage=outage)
            if outage.bad_audio > 1:
                record = _without_handle(record)
        case Decision.FRESH:
            record = _without_handle(record)
        case Decision.GIVE_UP:
            if not _has_next_model(record):
                return None
            record = _next_model(record)
        case Decision.RESUME | Decision.WAIT:
            pass
        case _:
            assert_never(decision)
    failures = record.outage.opening_failures
    if record.plan is Plan.RESUME and failures >= _RESUMES_PER_HANDLE and decision is not Decision.WAIT:
        record = _without_handle(record)
    if failures >= _TRIES_PER_MODEL and _has_next_model(record):
        record = _next_model(record)
    changed = record.without != without
    least_s = _paced(record, 0.0 if changed else lost.retry_after_s or 0.0)
    delay_s = 0.0 if changed else _delay_s(record, lost, at_once=not isinstance(before, Opening))
    after_s = max(least_s, delay_s)
    if record.now_s + after_s > patience_until_s:
        if not _has_next_model(record):
            return None
        record = _next_model(record)
        least_s = _paced(record, 0.0)
        after_s = max(least_s, limits.backoff_s)
        if record.now_s + after_s > patience_until_s:
            return None
    record, opening = _open(record, _plan(record), after_s, least_s)
    return record, effects + opening


def _refused(record: CallRecord, refusal: Refusal, decision: Decision) -> tuple[CallRecord, Decision]:
    """A set-up was refused: the next one does without the part that was named; the same refusal again is final."""
    if refusal.can_be_left_out and refusal.name not in record.without:
        # No failure of the handle's.
        outage = replace(record.outage, opening_failures=max(0, record.outage.opening_failures - 1))
        return replace(record, outage=outage, without=record.without | {refusal.name}), Decision.RESUME
    refused = outages.SetUpRefused(refusal, record.plan, record.without)
    if refused in record.outage.refused:
        return record, Decision.GIVE_UP
    outage = replace(record.outage, refused=record.outage.refused | {refused})
    return replace(record, outage=outage), Decision.FRESH if refusal.can_be_left_out else decision


def _is_spent(record: CallRecord) -> bool:
    """Whether an end of trying is better than another try."""
    outage, limits = record.outage, record.limits
    if outage.tries > limits.max_tries or outage.beginnings >= limits.max_beginnings:
        return True
    return outage.since_s is not None and record.now_s - outage.since_s >= limits.trouble_s


def _has_next_model(record: CallRecord) -> bool:
    return record.conversation.model_index + 1 < len(record.conversation.brief.models)


def _next_model(record: CallRecord) -> CallRecord:
    conversation = replace(record.conversation, model_index=record.conversation.model_index + 1, handle=None)
    outage = replace(record.outage, opening_failures=0, refused=frozenset())
    return replace(record, conversation=conversation, outage=outage, without=frozenset())


def _without_handle(record: CallRecord) -> CallRecord:
    return replace(record, conversation=replace(record.conversation, handle=None))


def _plan(record: CallRecord) -> Plan:
    if record.conversation.handle is not None:
        return Plan.RESUME
    return Plan.HISTORY if record.conversation.talked else Plan.NEW


def _delay_s(record: CallRecord, lost: SessionLost, *, at_once: bool) -> float:
    """Nothing for the first try after a session that worked, then doubling."""
    waiting = lost.decision is Decision.WAIT
    tries, limits = record.outage.tries, record.limits
    if tries <= 1 and at_once and not waiting:
        return 0.0
    doublings = min(max(0, tries - (1 if waiting else 2)), 10)
    return min(limits.backoff_max_s, limits.backoff_s * (1 << doublings))


def _paced(record: CallRecord, after_s: float) -> float:
    """`after_s`, or longer where the call has dialled so often that the next dial has to wait."""
    return max(after_s, outages.may_dial_s(record.outage) - record.now_s)


def _open(record: CallRecord, plan: Plan, after_s: float = 0.0, least_s: float = 0.0) -> Rung:
    conversation = replace(record.conversation, sessions=record.conversation.sessions + 1)
    record = replace(
        record,
        conversation=conversation,
        plan=plan,
        session=Opening(conversation.sessions, plan),
        outage=outages.dialled(record.outage, record.now_s + after_s),
    )
    handle = conversation.handle.value if plan is Plan.RESUME and conversation.handle is not None else None
    opening = OpenSession(
        session_no=conversation.sessions,
        plan=plan,
        model_index=conversation.model_index,
        first_turn=conversation.turns + 1,
        after_s=after_s,
        handle=handle,
        without=record.without,
        least_s=least_s,
    )
    return record, (opening,)
