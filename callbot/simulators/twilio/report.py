"""The report of one call: what the app did, as seen and heard from the caller's end of the line."""

import io
import wave
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import audioop

from callbot.simulators.twilio.call_requests import CallIdentity
from callbot.simulators.twilio.checks import ProtocolFault
from callbot.simulators.twilio.handset import BOT_PAUSE_FRAMES, FRAME_S, Handset, Spoken
from callbot.simulators.twilio.playout import FRAME_MS
from callbot.simulators.twilio.records import CallEnd, ClearRecord, Event, Exchange, StreamReport, Utterance
from callbot.simulators.twilio.twiml import Connect, Dial, Gather, Say, Verb

RATE_HZ = 8000
# A pause of the bot's after which its next audible frame is a new beginning: longer than within a word.
ONSET_PAUSE_FRAMES = 5


@dataclass(frozen=True, slots=True)
class CallReport:
    """Everything that can be said about a call without looking into the app.

    `heard` and `sent` are mu-law at 8 kHz, equally long, and begin with the first stream; `audible` tells for
    each 20 ms frame of `heard` whether it is sound. All times count from that beginning. `status` is Twilio's
    CallStatus at the end.
    """

    call_sid: str
    from_number: str
    to_number: str
    status: str
    end: CallEnd
    duration_s: float
    exchanges: tuple[Exchange, ...] = field(repr=False)
    verbs: tuple[Verb, ...]
    streams: tuple[StreamReport, ...]
    timeline: tuple[Event, ...] = field(repr=False)
    utterances: tuple[Utterance, ...]
    script_failure: str
    heard: bytes = field(repr=False)
    sent: bytes = field(repr=False)
    audible: tuple[bool, ...] = field(repr=False)

    @property
    def stream_sids(self) -> tuple[str, ...]:
        """The sids of all streams, in the order in which they were asked for."""
        return tuple(stream.stream_sid for stream in self.streams)

    @property
    def protocol_faults(self) -> tuple[ProtocolFault, ...]:
        """Every message that the app should not have sent, on any stream."""
        return tuple(fault for stream in self.streams for fault in stream.protocol_faults)

    @property
    def fault_counts(self) -> Counter[str]:
        """How often each kind of protocol fault occurred."""
        return Counter(fault.kind for fault in self.protocol_faults)

    @property
    def clears(self) -> tuple[ClearRecord, ...]:
        """Every clear, on any stream."""
        return tuple(clear for stream in self.streams for clear in stream.clears)

    @property
    def said(self) -> tuple[str, ...]:
        """The texts of all <Say> verbs that were carried out."""
        return tuple(verb.text for verb in self.verbs if isinstance(verb, Say))

    @property
    def latencies_ms(self) -> tuple[float, ...]:
        """From the end of each answered utterance to the first audible frame of the answer."""
        return tuple(each.latency_ms for each in self.utterances if each.latency_ms is not None)

    @property
    def heard_ms(self) -> int:
        """How much of what the caller heard was sound."""
        return sum(self.audible) * FRAME_MS

    @property
    def last_announcement(self) -> str:
        """What was read to the caller behind the last stream, when the app then ended the call with nobody reached."""
        spoken = ""
        for verb in self.verbs:
            match verb:
                case Say(text=text):
                    spoken = text
                case Connect() | Dial() | Gather():
                    spoken = ""
        ended_by_app = self.end in {CallEnd.HANGUP_VERB, CallEnd.DOCUMENT, CallEnd.API}
        return spoken if ended_by_app and any(stream.http_status == 101 for stream in self.streams) else ""

    def events(self, kind: str) -> tuple[Event, ...]:
        """The events of one kind."""
        return tuple(event for event in self.timeline if event.kind == kind)

    def requests(self, kind: str) -> tuple[Exchange, ...]:
        """The HTTP exchanges of one kind."""
        return tuple(exchange for exchange in self.exchanges if exchange.kind == kind)

    def heard_pcm(self) -> bytes:
        """What the caller heard, as 16-bit little-endian samples at 8 kHz."""
        return audioop.ulaw2lin(self.heard, 2)

    def stereo_wav(self) -> bytes:
        """A WAV file, 8 kHz 16-bit: the caller on the left, what they heard on the right."""
        left = audioop.tostereo(audioop.ulaw2lin(self.sent, 2), 2, 1, 0)
        right = audioop.tostereo(audioop.ulaw2lin(self.heard, 2), 2, 0, 1)
        file = io.BytesIO()
        with wave.open(file, "wb") as recording:
            recording.setnchannels(2)
            recording.setsampwidth(2)
            recording.setframerate(RATE_HZ)
            recording.writeframes(audioop.add(left, right, 2))
        return file.getvalue()


def build_report(
    identity: CallIdentity,
    *,
    end: CallEnd,
    duration_s: float,
    zero_s: float,
    exchanges: Sequence[Exchange],
    verbs: Sequence[Verb],
    streams: Sequence[StreamReport],
    events: Sequence[Event],
    handset: Handset,
    script_failure: str,
) -> CallReport:
    """Put a report together. `zero_s` is the clock time from which all its times count."""
    clears = [clear for stream in streams if not stream.second for clear in stream.clears]
    return CallReport(
        call_sid=identity.call_sid,
        from_number=identity.from_number,
        to_number=identity.to_number,
        status=identity.status,
        end=end,
        duration_s=duration_s,
        exchanges=tuple(replace(exchange, at_s=exchange.at_s - zero_s) for exchange in exchanges),
        verbs=tuple(verbs),
        streams=tuple(streams),
        timeline=tuple(sorted((Event(e.t_s - zero_s, e.kind, e.detail) for e in events), key=lambda e: e.t_s)),
        utterances=measure_utterances(handset.utterances, handset.audible, clears),
        script_failure=script_failure,
        heard=b"".join(handset.heard),
        sent=b"".join(handset.sent),
        audible=tuple(handset.audible),
    )


def measure_utterances(
    spoken: Sequence[Spoken], audible: Sequence[bool], clears: Sequence[ClearRecord]
) -> tuple[Utterance, ...]:
    """Measure each utterance against what was heard. `audible` has one entry per 20 ms frame."""
    onsets = find_onsets(audible, clears)
    measured = []
    for at, utterance in enumerate(spoken):
        start = utterance.start_frame
        end = start + utterance.audible_frames
        following = spoken[at + 1].start_frame if at + 1 < len(spoken) else len(audible)
        onset = next((frame for frame in onsets if end <= frame < following), None)
        result = Utterance(
            utterance.name,
            start * FRAME_S,
            end * FRAME_S,
            None if onset is None else float((onset - end) * FRAME_MS),
            utterance.bot_was_audible,
        )
        if utterance.bot_was_audible:
            result = replace(result, talked_over_ms=float(_speech_from(audible, start) * FRAME_MS))
            clear = next((c for c in clears if start * FRAME_S <= c.at_s < following * FRAME_S), None)
            if clear is not None:
                # The frame that is sounding when the clear arrives is already on its way.
                after = int(clear.at_s / FRAME_S) + 1
                result = replace(
                    result,
                    clear_after_ms=(clear.at_s - start * FRAME_S) * 1000,
                    dropped_ms=clear.dropped_ms,
                    heard_after_clear_ms=float(sum(audible[after:end]) * FRAME_MS),
                )
        measured.append(result)
    return tuple(measured)


def _speech_from(audible: Sequence[bool], start: int) -> int:
    """Return how many frames from `start` on belong to one speech: up to a pause that is longer than between words."""
    last, frame = start - 1, start
    while frame < len(audible) and frame - last <= BOT_PAUSE_FRAMES:
        if audible[frame]:
            last = frame
        frame += 1
    return last + 1 - start


def find_onsets(audible: Sequence[bool], clears: Sequence[ClearRecord]) -> list[int]:
    """Return the frames at which the bot begins to speak: after a pause, or after a clear."""
    cleared = {int(clear.at_s / FRAME_S) + 1 for clear in clears}
    onsets = []
    quiet = ONSET_PAUSE_FRAMES
    for frame, sound in enumerate(audible):
        if frame in cleared:
            quiet = ONSET_PAUSE_FRAMES
        if not sound:
            quiet += 1
            continue
        if quiet >= ONSET_PAUSE_FRAMES:
            onsets.append(frame)
        quiet = 0
    return onsets
