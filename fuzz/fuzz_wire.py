"""Fuzz both decoders: nothing raises, what comes out is bounded by what went in, and the two paths of each agree.

The first byte of an input chooses the decoder and whether the rest is text or bytes.
"""

import json

from fuzz import campaign
from fuzz.campaign import require

SID = "0123456789abcdef" * 2
# What a mutation may put in: the keys of both wires, and values at the edges.
_WORDS = r"""
{"event":" "} ":{ "}} ":" null true false [ ] { } -1 1e9 0.5 \u0000 \ud800 AAAA //// -_== 99999999999999999 0123456789abcdef
connected start media stop mark dtmf event streamSid callSid accountSid tracks mediaFormat encoding sampleRate channels
customParameters payload chunk timestamp track inbound name digit protocol version sequenceNumber CA MZ AC
setupComplete serverContent modelTurn parts inlineData mimeType data audio/pcm ;rate=24000 text interrupted generationComplete
turnComplete inputTranscription outputTranscription finished toolCall functionCalls args id ids toolCallCancellation goAway
timeLeft 9.5s sessionResumptionUpdate newHandle resumable lastConsumedClientMessageIndex usageMetadata promptTokenCount
responseTokenCount candidatesTokensDetails modality tokenCount voiceActivity type thought server_content model_turn
"""
TWILIO_TEXT, TWILIO_BYTES, GEMINI_TEXT, GEMINI_BYTES = range(4)


def seeds() -> list[bytes]:
    """A message of each kind, as the services send it."""
    twilio: list[dict[str, object]] = [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {
            "event": "start",
            "streamSid": f"MZ{SID}",
            "start": {
                "accountSid": f"AC{SID}",
                "callSid": f"CA{SID}",
                "streamSid": f"MZ{SID}",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"token": "b7.x_-", "stream_no": "1"},
            },
        },
        {"event": "media", "media": {"track": "inbound", "chunk": "1", "timestamp": "102", "payload": "/" * 16}},
        {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "5"}},
        {"event": "mark", "mark": {"name": "t7-42"}},
        {"event": "stop", "stop": {"accountSid": f"AC{SID}", "callSid": f"CA{SID}"}},
    ]
    blob = {"mimeType": "audio/pcm;rate=24000", "data": "AAAAAAAA"}
    gemini: list[dict[str, object]] = [
        {"setupComplete": {"sessionId": "s"}},
        {"serverContent": {"modelTurn": {"role": "model", "parts": [{"inlineData": blob}]}}},
        {
            "serverContent": {
                "modelTurn": {"parts": [{"inlineData": blob}, {"text": "x", "thought": True}]},
                "interrupted": True,
            }
        },
        {"serverContent": {"outputTranscription": {"text": "x", "finished": True}, "turnComplete": True}},
        {"server_content": {"input_transcription": {"text": "x"}, "generation_complete": True, "new": 1}},
        {"toolCall": {"functionCalls": [{"id": "1", "name": "end_call", "args": {"a": [1]}}]}},
        {"toolCallCancellation": {"ids": ["1", "2"]}},
        {"goAway": {"timeLeft": "50.5s"}},
        {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True, "lastConsumedClientMessageIndex": "7"}},
        {"usageMetadata": {"promptTokenCount": 1, "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}]}},
        {"voiceActivity": {"type": "ACTIVITY_START"}},
    ]
    return [bytes([TWILIO_TEXT]) + json.dumps(message, separators=(",", ":")).encode() for message in twilio] + [
        bytes([GEMINI_BYTES]) + json.dumps(message).encode() for message in gemini
    ]


def check(text: bytes) -> str:
    """Decode one input; the name of what came out. Raises on anything that a decoder must not do."""
    which, rest = (text[0] % 4 if text else TWILIO_TEXT), text[1:]
    if which in {TWILIO_TEXT, TWILIO_BYTES}:
        return _check_twilio(rest if which == TWILIO_BYTES else _as_text(rest))
    return _check_gemini(rest if which == GEMINI_BYTES else _as_text(rest))


def _as_text(raw: bytes) -> str:
    # Hypercorn gives valid text only; lone surrogates are the nearest to worse that a `str` can be.
    return raw.decode("utf-8", "surrogatepass" if b"\xed" in raw else "replace") if _is_passable(raw) else raw.decode("latin-1")


def _is_passable(raw: bytes) -> bool:
    try:
        raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return b"\xed" not in raw
    return True


def _check_twilio(message: str | bytes) -> str:
    from callbot.wire import twilio
    from callbot.wire.twilio import incoming

    decoded = twilio.decode(message)
    match decoded:
        case twilio.Unreadable(fault=fault):
            require(fault.isidentifier() and len(fault) < 20, "a fault is a short word of ours")
        case twilio.Media() as media:
            require(len(media.payload) <= len(message), "no audio that did not come")
            slow = incoming._decode_tolerantly(message) if isinstance(message, str) else None  # noqa: SLF001 - the oracle
            require(slow == media, "both paths read the same")
        case twilio.Start() as start:
            texts = [start.stream_sid, start.call_sid, start.account_sid, start.media_format.encoding]
            require(max(map(len, texts)) <= 256 and len(start.custom_parameters) <= 32, "a start is small")
            require(all(len(name) + len(value) <= 1000 for name, value in start.custom_parameters.items()), "parameters too")
        case twilio.Dtmf(digit=digit):
            require(digit in set("0123456789*#ABCD"), "a key of a telephone")
        case twilio.Mark(name=name):
            require(len(name) <= 256, "a name is short")
            pair = twilio.parse_mark(name)
            require(pair is None or twilio.parse_mark(twilio.mark_name(*pair)) == pair, "a mark is read as it was made")
        case twilio.Connected() | twilio.Stop():
            pass
    return f"twilio {type(decoded).__name__}"


def _check_gemini(frame: str | bytes) -> str:
    from callbot.wire import gemini
    from callbot.wire.gemini import incoming

    decoded = gemini.decode(frame)
    if isinstance(decoded, gemini.Unreadable):
        require(decoded.fault.isidentifier() and len(decoded.fault) < 20, "a fault is a short word of ours")
        return f"gemini {decoded.fault}"
    size = len(frame)
    require(sum(len(part.pcm) for part in decoded.audio) <= size, "no audio that did not come")
    require(all(1000 <= part.rate_hz <= 999_999 for part in decoded.audio), "a rate is one")
    require(len(decoded.unknown_keys) <= 16 and all(len(key) <= 64 for key in decoded.unknown_keys), "few new keys are told")
    require(all(fault.isidentifier() and len(fault) < 60 for fault in decoded.faults), "faults are our own words")
    require(decoded.go_away_time_left_s is None or 0 <= decoded.go_away_time_left_s <= 1e9, "a time is one")
    counts = [] if decoded.usage is None else [decoded.usage.prompt_tokens, decoded.usage.response_tokens]
    require(all(count is None or 0 <= count <= 2**53 for count in counts), "tokens are counted")
    fast = incoming._audio_only(frame)  # noqa: SLF001 - the oracle
    require(fast is None or fast == incoming._decode_tolerantly(frame), "both paths read the same")  # noqa: SLF001
    return "gemini message" if fast is None else "gemini audio"


def main() -> None:
    """Run one campaign."""

    def load() -> campaign.Check:
        import callbot.wire.gemini
        import callbot.wire.twilio  # noqa: F401

        return check

    campaign.run("wire", load, seeds(), _WORDS.split())


if __name__ == "__main__":
    main()
