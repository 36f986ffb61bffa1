"""How one call's sessions are opened: the prewarmed one first, history from the call's transcript where it is wanted."""

from collections.abc import Callable

from callbot.actors.services import CallServices
from callbot.actors.transcript import Transcript
from callbot.effects import OpenSession
from callbot.gemini.link import ModelLink
from callbot.gemini.session_config import SessionOrder
from callbot.messages import Plan


class CallOpener:
    """An `Opener` for one call."""

    def __init__(self, services: CallServices, call_sid: str, transcript: Transcript) -> None:
        self._services = services
        self._call_sid = call_sid
        self._transcript = transcript

    async def open(self, order: OpenSession) -> ModelLink:
        """The session that `order` asks for."""
        prewarmed = self._services.prewarmed
        if prewarmed is not None and order.session_no == 1:
            link = await prewarmed.take(self._call_sid)
            if link is not None:
                return link
        connector = self._services.connector
        session = SessionOrder(
            model=connector.models[order.model_index],
            handle=order.handle,
            history=self._transcript.lines() if order.plan is Plan.HISTORY else (),
        )
        return await connector.open(session, order.model_index)

    async def speak_first(self, link: ModelLink, order: OpenSession, text: str) -> None:
        """Give the model `text` in the way that makes it speak."""
        await self._services.connector.speak_first(link, order.model_index, text)


def jitter(delay_s: float, random: Callable[[], float]) -> float:
    """Full delay down to half of it: calls that lost the same service do not come back in step."""
    return delay_s * (0.5 + 0.5 * random())
