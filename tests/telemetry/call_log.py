"""The log of one call, written out: a greeting, an answer that is interrupted, a lost link, a hang-up."""

import json
from typing import Any

CALL_SID = "CA0123456789abcdef0123456789abcdef"
STREAM_SID = "MZfedcba9876543210fedcba9876543210"

# (ms from the stream's start, state, severity, event, its own fields)
_LINES: list[tuple[int, str, str, str, dict[str, Any]]] = [
    (0, "connecting", "INFO", "call.started", {"caller": "+1415•••0123", "model": "gemini-3.8-live", "backend": "gemini"}),
    (1, "connecting", "INFO", "session.opening", {"session_no": 1, "plan": "new"}),
    (412, "connecting", "INFO", "session.ready", {"session_no": 1, "plan": "new", "setup_ms": 411}),
    (413, "streaming", "INFO", "call.state", {"from": "connecting", "to": "streaming", "reason": "ready", "after_ms": 413}),
    (780, "streaming", "INFO", "turn.started", {"turn": 1}),
    (800, "streaming", "INFO", "turn.speaking", {"turn": 1, "latency_ms": None}),
    (842, "streaming", "INFO", "turn.heard", {"turn": 1, "latency_ms": None}),
    (3600, "streaming", "INFO", "turn.ended", {"turn": 1, "audio_ms": 2780, "heard_ms": 2780, "interrupted": False}),
    (7300, "streaming", "INFO", "caller.speech", {"speech_ms": 3260}),
    (7700, "streaming", "INFO", "turn.started", {"turn": 2}),
    (7740, "streaming", "INFO", "turn.speaking", {"turn": 2, "latency_ms": 790}),
    (7780, "streaming", "INFO", "turn.heard", {"turn": 2, "latency_ms": 830}),
    (9760, "streaming", "INFO", "barge_in", {"turn": 2, "unheard_ms": 4460}),
    (9761, "streaming", "INFO", "turn.ended", {"turn": 2, "audio_ms": 6400, "heard_ms": 1940, "interrupted": True}),
    (11200, "streaming", "INFO", "caller.speech", {"speech_ms": 1580}),
    (11700, "streaming", "INFO", "turn.started", {"turn": 3}),
    (11740, "streaming", "INFO", "turn.speaking", {"turn": 3, "latency_ms": 840}),
    (11780, "streaming", "INFO", "turn.heard", {"turn": 3, "latency_ms": 880}),
    (14880, "streaming", "INFO", "turn.ended", {"turn": 3, "audio_ms": 3100, "heard_ms": 3100, "interrupted": False}),
    (
        16000,
        "streaming",
        "WARNING",
        "session.lost",
        {"session_no": 1, "cause": "link_lost", "code": 1006, "decision": "resume"},
    ),
    (
        16001,
        "reconnecting",
        "INFO",
        "call.state",
        {"from": "streaming", "to": "reconnecting", "reason": "link_lost", "after_ms": 15588},
    ),
    (16002, "reconnecting", "INFO", "session.opening", {"session_no": 2, "plan": "resume"}),
    (16340, "reconnecting", "INFO", "session.ready", {"session_no": 2, "plan": "resume", "setup_ms": 338}),
    (
        16341,
        "streaming",
        "INFO",
        "call.state",
        {"from": "reconnecting", "to": "streaming", "reason": "ready", "after_ms": 340},
    ),
    (16400, "streaming", "WARNING", "stream.fault", {"fault": "late_media"}),
    (17500, "streaming", "INFO", "turn.started", {"turn": 4}),
    (17560, "streaming", "INFO", "turn.speaking", {"turn": 4, "latency_ms": 1560}),
    (17600, "streaming", "INFO", "turn.heard", {"turn": 4, "latency_ms": 1600}),
    (20640, "streaming", "INFO", "turn.ended", {"turn": 4, "audio_ms": 3040, "heard_ms": 3040, "interrupted": False}),
    (
        21400,
        "draining",
        "INFO",
        "call.state",
        {"from": "streaming", "to": "draining", "reason": "caller_hung_up", "after_ms": 5059},
    ),
    (21460, "closed", "INFO", "call.state", {"from": "draining", "to": "closed", "reason": "drained", "after_ms": 60}),
    (
        21460,
        "closed",
        "INFO",
        "call.summary",
        {
            "outcome": "completed",
            "reason": "caller_hung_up",
            "duration_ms": 21460,
            "states": {"connecting": 413, "streaming": 20647, "reconnecting": 340, "draining": 60},
            "turns": 4,
            "barge_ins": 1,
            "reconnects": 1,
            "frames_in": 1070,
            "frames_out": 543,
            "caller_dropped_ms": 0,
            "prompt_tokens": 900,
            "response_tokens": 434,
            "latency_p50_ms": 880,
            "latency_p95_ms": 1600,
            "faults": {"late_media": 3},
        },
    ),
]


def call_events(call_sid: str = CALL_SID) -> list[dict[str, Any]]:
    return [
        {
            "time": f"2026-03-01T09:30:{10 + t_ms // 1000:02}.{t_ms % 1000:03}Z",
            "severity": severity,
            "message": message,
            "call_sid": call_sid,
            "stream_sid": STREAM_SID,
            "state": state,
            "t_ms": t_ms,
            **fields,
        }
        for t_ms, state, severity, message, fields in _LINES
    ]


def as_lines(events: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)
