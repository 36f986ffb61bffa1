"""A Gemini Live server that the real google-genai client cannot tell from the service.

It speaks the wire protocol of Live sessions in both modes (Developer API and Vertex), hears when somebody speaks,
answers in real time or faster, can be interrupted and resumed, and misbehaves on request in every way the service
has been seen to. It needs nothing of callbot.

    options = StandInOptions(brain=Parrot(), time_scale=20)
    async with GeminiStandIn(options) as standin:
        client = genai.Client(api_key="any", http_options=HttpOptions(
            base_url=standin.base_url, api_version="v1beta",
            async_client_args={"ssl": standin.client_ssl_context()}))
        async with client.aio.live.connect(model="gemini-3.8-live", config={}) as session:
            await session.send_realtime_input(text="hello")
            async for message in session.receive():
                ...
        assert standin.sessions[0].turns[0].complete

Faults come as a script (`StandInOptions(faults=(Fault(ModelAudio(500), Close(1011)),))`) or by hand
(`standin.sessions[0].freeze()`, `standin.refuse(503)`); those that users report have names (`NAMED_FAULTS`). Where
families of models differ, `RULES` says how and `StandInOptions(rules=...)` changes it.
From a shell: `python -m callbot.simulators.gemini`.
"""

from .brains import (
    Brain,
    CallTools,
    Parrot,
    Prompt,
    Raw,
    Say,
    ScriptedBrain,
    Status,
    Step,
    Think,
    ToolCall,
    Wait,
    Write,
    extended_thinking,
)
from .families import RULES, ModelRules
from .faults import Fault
from .named_faults import NAMED_FAULTS
from .options import StandInOptions
from .records import Received, SessionRecord, TurnRecord
from .server import GeminiStandIn
from .session import LiveSession
from .vad import VadSettings

__all__ = [
    "NAMED_FAULTS",
    "RULES",
    "Brain",
    "CallTools",
    "Fault",
    "GeminiStandIn",
    "LiveSession",
    "ModelRules",
    "Parrot",
    "Prompt",
    "Raw",
    "Received",
    "Say",
    "ScriptedBrain",
    "SessionRecord",
    "StandInOptions",
    "Status",
    "Step",
    "Think",
    "ToolCall",
    "TurnRecord",
    "VadSettings",
    "Wait",
    "Write",
    "extended_thinking",
]
