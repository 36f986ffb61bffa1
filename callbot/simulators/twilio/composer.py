"""Writes Twilio's side of the Media Streams protocol: counters as strings, one sequence over all messages.

Key order and whitespace differ between captures, so each stream picks one of two styles.
"""

import base64
import json
import random
from collections.abc import Callable, Mapping
from typing import Literal

import audioop

BYTES_PER_MS = 8  # of 8 kHz mu-law
FIRST_TIMESTAMP_MS = (70, 160)  # captures: the first chunk carries 102, 155, ...; never 0


type Codec = Literal["mulaw", "alaw", "l16"]

_ENCODINGS: Mapping[Codec, str] = {"mulaw": "audio/x-mulaw", "alaw": "audio/x-alaw", "l16": "audio/l16"}
_RECODE: Mapping[Codec, Callable[[bytes], bytes]] = {
    "mulaw": lambda audio: audio,
    "alaw": lambda audio: audioop.lin2alaw(audioop.ulaw2lin(audio, 2), 2),
    "l16": lambda audio: audioop.ulaw2lin(audio, 2),
}


class Composer:
    """The messages of one stream, in the order of the calls."""

    def __init__(
        self,
        *,
        account_sid: str,
        call_sid: str,
        stream_sid: str,
        parameters: Mapping[str, str],
        rng: random.Random,
        codec: Codec = "mulaw",
    ) -> None:
        self.sequence = 0  # of the last message; `connected` has none
        self._account_sid = account_sid
        self._call_sid = call_sid
        self._stream_sid = stream_sid
        self._parameters = dict(parameters)
        self._codec = codec
        self._chunk = 0
        self._timestamp_ms = rng.randint(*FIRST_TIMESTAMP_MS)
        self._sid_last = rng.random() < 0.5
        self._separators = (", ", ": ") if rng.random() < 0.5 else (",", ":")

    def connected(self) -> str:
        """The first message: no sequence number, no sid."""
        return self._json({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self, call_sid: str = "") -> str:
        """The stream's description; `call_sid` replaces the call's own for a test."""
        media_format = {"encoding": _ENCODINGS[self._codec], "sampleRate": 8000, "channels": 1}
        body: dict[str, object] = {
            "accountSid": self._account_sid,
            "streamSid": self._stream_sid,
            "callSid": call_sid or self._call_sid,
            "tracks": ["inbound"],
            "mediaFormat": media_format,
            "customParameters": self._parameters,
        }
        return self._message("start", body)

    def media(self, audio: bytes, track: str = "inbound") -> str:
        """Some of the caller's audio: mu-law, whole frames, told in the codec that was announced."""
        self._chunk += 1
        body: dict[str, object] = {
            "track": track,
            "chunk": str(self._chunk),
            "timestamp": str(self._timestamp_ms),
            "payload": base64.b64encode(_RECODE[self._codec](audio)).decode("ascii"),
        }
        if track == "inbound":
            self._timestamp_ms += len(audio) // BYTES_PER_MS
        return self._message("media", body)

    def skip(self, for_ms: int) -> None:
        """Let time pass for which no message is written."""
        self._timestamp_ms += for_ms

    def dtmf(self, digit: str) -> str:
        """One key press."""
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        """The echo of a mark."""
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        """The stream's end."""
        return self._message("stop", {"accountSid": self._account_sid, "callSid": self._call_sid})

    def _message(self, event: str, body: Mapping[str, object]) -> str:
        self.sequence += 1
        message: dict[str, object] = {"event": event, "sequenceNumber": str(self.sequence)}
        if self._sid_last:
            message |= {event: body, "streamSid": self._stream_sid}
        else:
            message |= {"streamSid": self._stream_sid, event: body}
        return self._json(message)

    def _json(self, message: Mapping[str, object]) -> str:
        return json.dumps(message, separators=self._separators)
