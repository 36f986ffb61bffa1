"""The verbs that listen to the caller: <Gather> collects keys, <Record> keeps what is said."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable

from callbot.simulators.twilio import twiml
from callbot.simulators.twilio.addresses import joined
from callbot.simulators.twilio.call_requests import CallRequests, new_sid
from callbot.simulators.twilio.call_state import CallState
from callbot.simulators.twilio.handset import FRAME_S, Handset, is_audible
from callbot.simulators.twilio.recordings import Recording, Recordings
from callbot.simulators.twilio.records import CallEnd

_LOOK_S = 0.1  # how often a recording looks whether it is over


class Keypad:
    """Waits for the keys of one call."""

    def __init__(
        self,
        state: CallState,
        requests: CallRequests,
        handset: Handset,
        open_line: Callable[[], None],
        recordings: Recordings,
    ) -> None:
        self._state = state
        self._requests = requests
        self._handset = handset
        self._open_line = open_line
        self._recordings = recordings

    async def gather(self, verb: twiml.Gather, say: Callable[[], Awaitable[None]]) -> tuple[tuple[str, str], ...] | None:
        """Collect keys while `say` speaks the prompts; the fields of the action request, None for no request."""
        state = self._state
        keys: asyncio.Queue[str] = asyncio.Queue()
        state.keys = keys
        self._open_line()
        pressed, finished = "", ""
        try:
            key = await state.unless_interrupted(self._first_key(verb, keys, say))
            while key is not None:
                if key == verb.finish_on_key:
                    finished = key
                    break
                pressed += key
                if verb.digits is not None and len(pressed) >= verb.digits:
                    break
                key = await state.unless_interrupted(self._key(keys, verb.timeout_s))
        finally:
            state.keys = None
        state.note("gathered", pressed or "nothing")
        if state.interrupted.is_set() or not (pressed or verb.action_on_empty_result):
            return None
        return (("Digits", pressed), ("FinishedOnKey", finished))

    async def record(self, verb: twiml.Record, base_url: str) -> tuple[tuple[str, str], ...] | None:
        """Record the caller; the fields of the action request, None for no request: nothing was recorded."""
        state = self._state
        keys: asyncio.Queue[str] = asyncio.Queue()
        state.keys = keys
        self._open_line()
        self._handset.catch_up()
        began, created = self._handset.frames, dt.datetime.now(dt.UTC)
        state.note("recording", "begins")
        try:
            digits = await state.unless_interrupted(self._until_recorded(verb, keys, began)) or ""
        finally:
            state.keys = None
        self._handset.catch_up()
        account_sid = state.options.account_sid
        audio = b"".join(self._handset.sent[began:])
        recording = Recording(new_sid("RE", state.rng), account_sid, state.identity.call_sid, audio, created)
        state.note("recording", f"ends after {recording.duration_s} s")
        if not any(map(is_audible, self._handset.sent[began:])):
            return None
        self._recordings.keep(recording)
        url = joined(base_url, verb.recording_status_callback) if verb.recording_status_callback else None
        if url is not None:
            extra = (*recording.fields(), ("RecordingStatus", "completed"), ("RecordingChannels", "1"))
            await self._requests.report_recording(url, verb.recording_status_callback_method, extra)
        if state.interrupted.is_set() and state.end is not CallEnd.CALLER:
            return None
        # Who hangs up has pressed "hangup", and the action is asked all the same (Twilio's page on <Record>).
        return (*recording.fields(), ("Digits", "hangup" if state.is_over else digits))

    async def _until_recorded(self, verb: twiml.Record, keys: "asyncio.Queue[str]", began: int) -> str:
        while True:
            await self._state.clock.sleep(_LOOK_S)
            self._handset.catch_up()
            while not keys.empty():
                key = keys.get_nowait()
                if key in verb.finish_on_key:
                    return key
            frames = self._handset.sent[began:]
            quiet = next((n for n, frame in enumerate(reversed(frames)) if is_audible(frame)), len(frames))
            if len(frames) * FRAME_S >= verb.max_length_s or (verb.timeout_s and quiet * FRAME_S >= verb.timeout_s):
                return ""

    async def _first_key(
        self, verb: twiml.Gather, keys: "asyncio.Queue[str]", say: Callable[[], Awaitable[None]]
    ) -> str | None:
        """Wait for a key while the prompts are heard, and for `timeout_s` behind them."""
        # Not in a TaskGroup, here and in `_key`: the one that comes second is cancelled, and that is no fault.
        saying = asyncio.ensure_future(say())
        key = asyncio.ensure_future(keys.get())
        try:
            await asyncio.wait((saying, key), return_when=asyncio.FIRST_COMPLETED)
            if key.done():
                return key.result()
            await saying  # over already: a fault in the prompts is the call's
        finally:
            saying.cancel()
            key.cancel()
        return await self._key(keys, verb.timeout_s)

    async def _key(self, keys: "asyncio.Queue[str]", timeout_s: float) -> str | None:
        key = asyncio.ensure_future(keys.get())
        late = asyncio.ensure_future(self._state.clock.sleep(timeout_s))
        try:
            await asyncio.wait((key, late), return_when=asyncio.FIRST_COMPLETED)
            return key.result() if key.done() else None
        finally:
            key.cancel()
            late.cancel()
