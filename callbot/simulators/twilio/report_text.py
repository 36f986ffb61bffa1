"""A call's report in plain words, for people."""

from collections.abc import Iterator

from callbot.simulators.twilio.records import CallEnd, Exchange, StreamReport, Utterance
from callbot.simulators.twilio.report import CallReport
from callbot.simulators.twilio.twiml_reader import SCHEMA

# What the timeline shows to a reader; single marks and injected messages would drown the rest.
_TOLD = frozenset({
    "answered", "app_gave_up", "application_error", "bot_speech_end", "bot_speech_start", "bridged",
    "caller_speech_end", "caller_speech_start", "clear", "conference", "debugger", "dial", "dial_refused", "dtmf",
    "ended", "gathered", "hung_up", "placed", "play", "query_dropped", "recording", "redirected", "say", "script_failed",
    "socket_closed", "socket_left_open", "stop", "stream_started", "twiml_warning", "underrun", "unperformed",
})  # fmt: skip
_FAULTS_SHOWN = 20
WORDS_MS = 400  # what is shorter may be an "mm-hmm" that no bot need stop for
TALK_OVER_MS = 500  # of the bot's speech: longer than a model takes to notice, and a carrier to stop


def describe(report: CallReport) -> str:
    """Return the report as text, several lines."""
    return "\n".join(_lines(report)) + "\n"


def problems(report: CallReport) -> list[str]:
    """Violations: what a caller, or Twilio, would complain about, the worst first; empty after a good call."""
    found = [text for utterance in report.utterances for text in _barge_in_problems(utterance)]
    found += [
        f"{exchange.kind} request to {exchange.url}: {exchange.error_code} {exchange.error}"
        for exchange in report.exchanges
        if exchange.error_code
    ]
    found += [event.detail for event in report.events("application_error")]
    if not report.streams and report.end is not CallEnd.NOT_REACHED:
        found.append("no stream was opened")
    for stream in report.streams:
        found += _stream_problems(stream)
    if any(stream.http_status == 101 for stream in report.streams) and not any(report.audible):
        found.append("the caller heard nothing at all")
    if report.last_announcement:
        found.append(f"the app ended the call with an announcement behind its stream: {report.last_announcement!r}")
    found += [event.detail for event in report.events("dial_refused")]
    found += [f"{SCHEMA} {event.detail}" for event in report.events("twiml_warning")]
    if report.script_failure:
        found.append(f"the caller {report.script_failure}")
    return found


def remarks(report: CallReport) -> list[str]:
    """What is worth knowing and no fault: nobody hears it, or it is the stand-in's own limit."""
    found = [
        f"{stream.partial_frames} time(s) the queue ended inside a 20 ms frame"
        for stream in report.streams
        if stream.partial_frames
    ]
    found += [event.detail for kind in ("unperformed", "query_dropped") for event in report.events(kind)]
    return found


def _barge_in_problems(utterance: Utterance) -> Iterator[str]:
    spoken_ms = (utterance.end_s - utterance.start_s) * 1000
    said = f"{utterance.name!r} at {utterance.start_s:.2f} s"
    if not utterance.barged_in or spoken_ms < WORDS_MS:
        return
    if utterance.clear_after_ms is None:
        if utterance.talked_over_ms >= TALK_OVER_MS:
            yield f"never cleared: the caller said {said}, and the bot talked on for {utterance.talked_over_ms:.0f} ms"
    elif utterance.heard_after_clear_ms >= TALK_OVER_MS:
        yield f"the caller said {said}, and heard {utterance.heard_after_clear_ms:.0f} ms more behind the clear"


def _lines(report: CallReport) -> Iterator[str]:
    yield f"Call {report.call_sid} from {report.from_number} to {report.to_number}"
    yield f"  {report.status} after {report.duration_s:.1f} s: {report.end.value}"
    yield ""
    yield "Requests"
    for exchange in report.exchanges:
        yield f"  {_exchange(exchange)}"
    yield ""
    yield "What happened (seconds from the start of the stream)"
    for event in report.timeline:
        if event.kind in _TOLD:
            yield f"  {event.t_s:8.2f}  {event.kind.replace('_', ' '):20}  {event.detail}".rstrip()
    for number, stream in enumerate(report.streams, 1):
        yield ""
        yield f"Stream {number}: {stream.stream_sid}"
        yield from (f"  {line}" for line in _stream(stream))
    if report.utterances:
        yield ""
        yield "The caller spoke"
        for utterance in report.utterances:
            yield f"  {_utterance(utterance)}"
    for title, found in (("Violations", problems(report)), ("Remarks", remarks(report))):
        yield ""
        yield f"{title}: {len(found) or 'none'}"
        yield from (f"  - {text}" for text in found[:_FAULTS_SHOWN])
        if len(found) > _FAULTS_SHOWN:
            yield f"  - and {len(found) - _FAULTS_SHOWN} more"


def _exchange(exchange: Exchange) -> str:
    answer = f"HTTP {exchange.status}" if exchange.status else "no answer"
    tries = f", {exchange.attempts} tries" if exchange.attempts > 1 else ""
    return f"{exchange.kind}: {exchange.method} {exchange.url}: {answer} in {exchange.took_s * 1000:.0f} ms{tries}"


def _stream(stream: StreamReport) -> Iterator[str]:
    if stream.started_s is None:
        yield f"not opened ({f'HTTP {stream.http_status}' if stream.http_status else 'no answer'})"
        return
    close = "no close frame" if stream.close_code is None else f"close code {stream.close_code}"
    yield f"{stream.ended_s - stream.started_s:.1f} s, ended: {stream.end.value} ({close})"
    yield f"sent {stream.frames_sent} frames, lost {stream.frames_lost}, discarded {stream.frames_discarded}"
    yield (
        f"received {stream.media_received} media messages, {stream.audio_received_ms / 1000:.1f} s of audio, "
        f"at most {stream.max_queued_ms:.0f} ms ahead of playout"
    )
    cleared = sum(mark.cleared for mark in stream.marks)
    played = sum(mark.echoed_s is not None and not mark.cleared for mark in stream.marks)
    yield (
        f"marks: {played} played, {cleared} returned by a clear; clears: {len(stream.clears)}, "
        f"{stream.dropped_ms:.0f} ms dropped"
    )


def _stream_problems(stream: StreamReport) -> Iterator[str]:
    if stream.underruns:
        yield f"{stream.underruns} hole(s) in the bot's speech, {stream.underrun_ms} ms in all"
    if stream.http_status != 101:
        yield f"the stream could not be opened: {', '.join(map(str, stream.debugger)) or stream.http_status}"
    elif 31903 in stream.debugger:
        yield "31903: the connection broke while streaming"
    if 31930 in stream.debugger:
        yield f"31930: the app read too slowly, {stream.frames_discarded} frames were thrown away"
    for fault in stream.protocol_faults:
        yield f"at {fault.at_s:.2f} s: {fault.code or 'unreported'} {fault.kind}: {fault.explanation}"


def _utterance(utterance: Utterance) -> str:
    span = f"{utterance.name}: {utterance.start_s:.2f} to {utterance.end_s:.2f} s"
    answer = "no answer" if utterance.latency_ms is None else f"answered after {utterance.latency_ms:.0f} ms"
    if not utterance.barged_in:
        return f"{span}, {answer}"
    if utterance.clear_after_ms is None:
        return f"{span}, into the bot's speech, which was never cleared; {answer}"
    return (
        f"{span}, into the bot's speech, cleared after {utterance.clear_after_ms:.0f} ms "
        f"({utterance.dropped_ms:.0f} ms dropped, {utterance.heard_after_clear_ms:.0f} ms heard after it); {answer}"
    )
