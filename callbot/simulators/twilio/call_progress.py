"""How far an outbound call has come, told to its status callback: initiated, ringing, answered, completed."""

import asyncio
from typing import Literal

from callbot.simulators.twilio.addresses import joined
from callbot.simulators.twilio.call_requests import CallRequests
from callbot.simulators.twilio.call_state import CallState
from callbot.simulators.twilio.outbound import CALL_STATUS, Callee, OutboundCall
from callbot.simulators.twilio.records import CallEnd

DETECTION_S = 4.0  # until Twilio says who has answered; its guide on answering machine detection: about four seconds


class CallProgress:
    """The life of one outbound call up to its first document. Without an order, of an inbound one, it tells nobody."""

    def __init__(self, state: CallState, requests: CallRequests, order: OutboundCall | None) -> None:
        self._state = state
        self._requests = requests
        self._order = order

    async def tell(self, event: Literal["initiated", "ringing", "answered", "completed"]) -> None:
        """Send the status callback of this event, if the order asked for it."""
        order = self._order
        if order is None or event not in order.status_callback_events or not order.status_callback:
            return
        url = joined(self._state.options.public_url, order.status_callback)
        if url is not None:
            await self._requests.report_progress(url, order.status_callback_method)

    async def ring(self, callee: Callee, tasks: asyncio.TaskGroup) -> bool:
        """Ring at the callee's; True when somebody answers in time and the call has not been ended."""
        state, order = self._state, self._order
        assert order is not None
        for status in ("initiated", "ringing"):
            if not state.is_over:
                state.identity.status = status
                await self.tell("initiated" if status == "initiated" else "ringing")
        late = callee.outcome == "no-answer" or callee.ring_s > order.timeout_s
        await state.sleep(order.timeout_s if late else callee.ring_s)
        if state.is_over:
            state.identity.status = "canceled"
            return False
        if late or not callee.answers:
            state.identity.status = "no-answer" if late else CALL_STATUS[callee.outcome]
            state.end = CallEnd.NOT_REACHED
            return False
        state.answer()
        await self.tell("answered")
        if order.machine_detection:
            by = "human"
            if callee.outcome == "voicemail":
                by = "machine_start" if order.machine_detection == "Enable" else "machine_end_beep"
            if order.async_amd:
                tasks.create_task(self._tell_machine(by))
            else:
                await state.sleep(DETECTION_S)
                state.identity.answered_by = by
        return True

    async def _tell_machine(self, answered_by: str) -> None:
        order = self._order
        assert order is not None
        await self._state.clock.sleep(DETECTION_S)
        self._state.identity.answered_by = answered_by
        url = joined(self._state.options.public_url, order.async_amd_status_callback)
        if order.async_amd_status_callback and url is not None:
            method = order.async_amd_status_callback_method
            await self._requests.report_machine(url, method, answered_by, round(DETECTION_S * 1000))
