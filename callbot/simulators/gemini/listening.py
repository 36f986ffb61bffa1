"""The caller's side of a session: reading client messages and noticing when somebody speaks."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import audioop

from . import messages
from .brains import Prompt
from .clock import CallerClock
from .families import ModelRules
from .records import Received
from .session_base import SessionBase
from .triggers import CallerAudio, OnSpeech, OnSpeechEnd, OnText, OnToolResponse
from .turns import Turns
from .vad import RATE_HZ, EnergyVad, SpeechEnded, SpeechStarted, VadEvent
from .wire_reader import INVALID_ARGUMENT, InvalidMessageError, read_message

_BYTES_PER_MS = RATE_HZ * 2 // 1000
_RATES_HZ = range(1_000, 192_001)  # what a converter of sound can be asked for
_AUDIO_KEYS = frozenset({"data", "mime_type", "mimeType"})
_ROLES = frozenset({"user", "model"})


@lru_cache(maxsize=64)
def _rate_of(mime_type: str) -> int | None:
    """Return the rate of a PCM mime type; 16 kHz if it names none, None for anything that is not PCM.

    Raises:
        InvalidMessageError: the rate is no rate of sound.
    """
    kind, *parameters = (part.strip() for part in mime_type.split(";"))
    if kind != "audio/pcm":
        return None
    rates = [text.removeprefix("rate=") for text in parameters if text.startswith("rate=")]
    if not rates:
        return RATE_HZ
    if not (rates[0].isdecimal() and len(rates[0]) < 10 and int(rates[0]) in _RATES_HZ):
        raise InvalidMessageError(INVALID_ARGUMENT)
    return int(rates[0])


class Listener:
    """Takes client messages one by one, in order."""

    def __init__(self, session: SessionBase, turns: Turns) -> None:
        self._session = session
        self._turns = turns
        self._options = session.server.options
        asked = session.asked
        self._manual = asked.vad.disabled
        self._scripted = self._options.listening == "scripted"
        self._vad = EnergyVad(asked.vad)
        self._activity: bytearray | None = None  # the utterance between activityStart and activityEnd
        self._history_open = asked.history_first
        self._audio_flows = False  # the caller's audio comes in, and no audioStreamEnd has come since
        self._odd = b""  # half a sample
        self._rate_state: Any = None
        self._rate_hz = RATE_HZ

    async def take(self, decoded: Any) -> None:
        """Handle one decoded client message.

        Raises:
            InvalidMessageError: the service would close the connection for it.
        """
        realtime = decoded.get("realtime_input") or decoded.get("realtimeInput") if isinstance(decoded, dict) else None
        # Audio is nearly everything that comes: it takes no detour through the tables.
        if isinstance(realtime, dict) and len(decoded) == len(realtime) == 1 and _is_audio(realtime.get("audio")):
            await self._audio(realtime["audio"])
            return
        ((kind, body),) = read_message(decoded).items()
        match kind:
            case "realtimeInput":
                await self._realtime(body)
            case "clientContent":
                await self._content(body)
            case "toolResponse":
                await self._tools(body)
            case "contextUpdate":
                self._note("contextUpdate", body)
                self._session.context_updates.append(body)
            case _:  # a second setup
                raise InvalidMessageError(INVALID_ARGUMENT)

    def _note(self, kind: str, body: Any) -> None:
        session = self._session
        session.received.append(Received(session.messages_received, kind, body, session.server.clock.now()))

    # ---- realtimeInput -------------------------------------------------------------------------------------

    async def _realtime(self, body: dict[str, Any]) -> None:
        for kind, value in body.items():
            match kind:
                case "audio":
                    await self._audio(value)
                case "mediaChunks":  # how older clients send audio and pictures
                    for blob in value:
                        if blob.get("mimeType", "").startswith("audio/"):
                            await self._audio(blob)
                        else:
                            self._note("video", {"mimeType": blob.get("mimeType")})
                case "video":
                    self._note("video", {"mimeType": value.get("mimeType")})
                case "text":
                    await self._text(value)
                case "audioStreamEnd":
                    self._note(kind, value)
                    self._audio_flows = False
                    await self._heard(self._vad.flush())
                case "activityStart":
                    await self._activity_start()
                case "activityEnd":
                    await self._activity_end()

    async def _audio(self, blob: Mapping[str, Any]) -> None:
        session = self._session
        rate_hz = _rate_of(blob.get("mime_type") or blob.get("mimeType") or "")
        try:
            pcm = messages.decode_audio(blob.get("data", ""))
        except ValueError as exc:  # binascii.Error is one
            raise InvalidMessageError(INVALID_ARGUMENT) from exc
        if rate_hz is None:
            session.silent_failures += 1  # the service says nothing to a wrong format
            return
        session.rates_hz.add(rate_hz)
        if self._options.record_audio:
            self._note("audio", {"bytes": len(pcm), "rate_hz": rate_hz})
        pcm = self._whole_samples(pcm, rate_hz)
        session.samples += len(pcm) // 2
        self._audio_flows = self._audio_flows or bool(pcm)
        if self._options.record_audio:
            session.pcm += pcm
        if self._activity is not None:
            self._activity += pcm
        elif not (self._manual or self._scripted):
            await self._heard(self._vad.feed(pcm))
        await session.faults.at(CallerAudio, ms=session.samples * 1000 / RATE_HZ)
        if isinstance(session.clock, CallerClock):
            await session.clock.advance(len(pcm) / 2 / RATE_HZ)

    def _whole_samples(self, pcm: bytes, rate_hz: int) -> bytes:
        if self._odd or len(pcm) % 2:
            pcm = self._odd + pcm
            cut = len(pcm) - len(pcm) % 2
            pcm, self._odd = pcm[:cut], pcm[cut:]
        if rate_hz == RATE_HZ:
            return pcm
        if rate_hz != self._rate_hz:
            self._rate_hz, self._rate_state = rate_hz, None
        converted, self._rate_state = audioop.ratecv(pcm, 2, 1, rate_hz, RATE_HZ, self._rate_state)
        return converted

    async def _text(self, text: str) -> None:
        session = self._session
        self._note("text", text)
        await session.faults.at(OnText)
        session.thaw_for_text()
        session.text_characters += len(text)
        session.conversation.transcript.append(("user", text))
        if self._turns.is_heard and session.asked.interrupts:
            await self._turns.interrupt()
        self._turns.ask(Prompt("text", text=text))

    # ---- speech --------------------------------------------------------------------------------------------

    async def _heard(self, events: list[VadEvent]) -> None:
        self._turns.caller_speaks = self._vad.speaking
        for event in events:
            match event:
                case SpeechStarted(at_ms):
                    await self.speech_started(at_ms)
                case SpeechEnded(_, end_ms, pcm):
                    await self.speech_ended(pcm, end_ms)

    async def speech_started(self, at_ms: float) -> None:
        """The caller has begun to speak: interrupt what is being said."""
        session = self._session
        await self._signal("ACTIVITY_START", at_ms)
        await session.faults.at(OnSpeech)
        if session.asked.interrupts:
            self._turns.drop_waiting()
            if self._turns.is_heard:
                await self._turns.interrupt()

    async def speech_ended(self, pcm: bytes, at_ms: float) -> None:
        """The caller has finished an utterance (16 kHz): answer it."""
        session = self._session
        await self._signal("ACTIVITY_END", at_ms)
        await session.faults.at(OnSpeechEnd)
        heard = f"caller spoke for {len(pcm) // _BYTES_PER_MS} milliseconds"
        session.conversation.transcript.append(("user", heard))
        if not self._turns.ask(Prompt("audio", pcm=pcm), heard):
            self._turns.start_next()

    async def _signal(self, kind: str, at_ms: float) -> None:
        if self._session.asked.explicit_vad:
            body = {"voiceActivity": {"type": kind, "audioOffset": f"{at_ms / 1000:g}s"}}
            await self._session.outbox.send("voiceActivity", messages.encode(body))

    async def _activity_start(self) -> None:
        self._note("activityStart", {})
        if not self._manual:
            raise InvalidMessageError(INVALID_ARGUMENT)
        self._activity, self._turns.caller_speaks = bytearray(), True
        await self.speech_started(self._session.samples * 1000 / RATE_HZ)

    async def _activity_end(self) -> None:
        self._note("activityEnd", {})
        if not self._manual:
            raise InvalidMessageError(INVALID_ARGUMENT)
        if self._activity is not None:
            pcm, self._activity, self._turns.caller_speaks = bytes(self._activity), None, False
            await self.speech_ended(pcm, self._session.samples * 1000 / RATE_HZ)

    # ---- clientContent, toolResponse -----------------------------------------------------------------------

    async def _content(self, body: Mapping[str, Any]) -> None:
        session, rules = self._session, self._session.asked.rules
        self._note("clientContent", body)
        turns, complete = body.get("turns", []), body.get("turnComplete", False)
        for turn in turns:
            _check_role(turn.get("role"), rules)
        seeding = self._history_open
        if not seeding and (rules.closes_on_content or (rules.closes_on_content_amid_audio and self._audio_flows)):
            raise InvalidMessageError(INVALID_ARGUMENT)
        session.conversation.history += turns
        text = " ".join(part["text"] for turn in turns for part in turn.get("parts", ()) if "text" in part)
        session.text_characters += len(text)
        if not complete:
            return  # the server waits for the rest
        if seeding:  # the server takes history until turnComplete
            self._history_open = False
        if rules.answers_history if seeding else rules.answers_content:
            if self._turns.is_heard:
                await self._turns.interrupt()
            self._turns.ask(Prompt("content", text=text))

    async def _tools(self, body: Mapping[str, Any]) -> None:
        session = self._session
        self._note("toolResponse", body)
        for response in body.get("functionResponses", ()):
            session.tool_characters += len(str(response.get("response", "")))
            session.tool_responses.append(response)
            if not await self._turns.respond(response):
                session.stray_tool_responses.append(response)
        await session.faults.at(OnToolResponse)


def _is_audio(blob: object) -> bool:
    """Whether this is a blob as clients send it all the time: nothing but text under the three names."""
    return isinstance(blob, dict) and blob.keys() <= _AUDIO_KEYS and all(isinstance(value, str) for value in blob.values())


def _check_role(role: str | None, rules: ModelRules) -> None:
    if role not in _ROLES and (role or rules.needs_roles):
        raise InvalidMessageError("Please use a valid role: user, model.")
