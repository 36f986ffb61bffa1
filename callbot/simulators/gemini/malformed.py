"""Messages the service should not send, by name: what a client must survive. For `SendRaw` and `ReplyToSetup`.

The comments say what `receive()` of google-genai 3.4.0 does with them; the socket stays open in every case but
`too_large`, where the client closes with 1009.
"""

import binascii

from . import messages
from .voice import tone

_SILENCE = bytes(960)  # 20 ms at 24 kHz


def _part(mime_type: str, text: str) -> bytes:
    part = {"inlineData": {"mimeType": mime_type, "data": text}}
    return messages.content(modelTurn={"role": "model", "parts": [part]})


_TEXT = binascii.b2a_base64(_SILENCE, newline=False).decode()
_PART = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": _TEXT}}

MALFORMED: dict[str, bytes] = {
    "not_json": b"{oops",  # ValueError
    "invalid_utf8": b'{"serverContent":{"inputTranscription":{"text":"\xff\xfe"}}}',  # ValueError
    "empty_frame": b"",  # an empty message
    "null": b"null",  # an empty message
    "empty_object": b"{}",  # an empty message
    "number": b"3",  # TypeError
    "array": b"[1]",  # AttributeError
    "unknown_top_level": b'{"somethingNew":{"a":1}}',  # TypeError
    "error_object": b'{"error":{"code":500,"message":"Internal","status":"INTERNAL"}}',  # TypeError
    "top_level_status": b'{"interactionStatus":"IDLE"}',  # TypeError
    "snake_case": b'{"server_content":{"turn_complete":true}}',  # TypeError
    "code": b'{"code":500}',  # ServerError
    "unknown_field": b'{"serverContent":{"somethingNew":1,"waitingForInput":true}}',  # ignored
    "unknown_beside_known": b'{"somethingNew":1,"serverContent":{"waitingForInput":true}}',  # ignored
    "unknown_enum": b'{"serverContent":{"turnComplete":true,"turnCompleteReason":"SOMETHING_NEW"}}',  # UserWarning
    "wrong_type": b'{"serverContent":{"turnComplete":{"a":1}}}',  # ValidationError
    "time_left_object": b'{"goAway":{"timeLeft":{"seconds":50}}}',  # ValidationError
    "bad_base64": _part("audio/pcm;rate=24000", "!!!not base64!!!"),  # ValidationError
    "odd_bytes": messages.audio(bytes(961)),  # passed on
    "empty_audio": messages.audio(b""),  # passed on
    "no_rate": messages.audio(_SILENCE, "audio/pcm"),  # passed on; means 24 kHz
    "other_rate": messages.audio(_SILENCE, "audio/pcm;rate=16000"),  # passed on
    "two_parts": messages.content(modelTurn={"role": "model", "parts": [_PART, _PART]}),  # passed on
    "content_and_end": messages.content(  # passed on; ends the generator of receive()
        modelTurn={"role": "model", "parts": [_PART]}, generationComplete=True, turnComplete=True
    ),
    "late_audio": messages.audio(_SILENCE),  # for after generationComplete or interrupted
    "late_transcription": messages.content(outputTranscription={"text": " late"}),
    "empty_resumption_update": b'{"sessionResumptionUpdate":{}}',
    "setup_error": b'{"error":{"code":400,"message":"invalid"}}',  # connect() succeeds without setup_complete
    "too_large": messages.audio(75 * tone(440.0, 0.25)),  # 1.2 MB of JSON, 19 s; over the 1 MiB of `websockets`
}
