"""Heartbeat in virtual time: each silence is seen, once, and nothing is mixed into live speech."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callbot.actors.heartbeat import Heartbeat, Patience
from callbot.actors.signs import LifeSigns
from callbot.messages.call import Beat, CallMessage, ModelSilent, StreamSilent
from callbot.messages.children import EndSpeech, GeminiSessionMessage, ProbeLink, SendSilence, Watch
from tests.virtual_time import about

PATIENCE = Patience(twilio_silence_s=10.0, model_silence_s=60.0, model_probe_s=20.0, keepalive_s=5.0, progress_s=10.0)


class Watched:
    """A heartbeat that runs, the signs it reads, and what it said when."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        now_s = self.loop.time()
        self.began_s = now_s
        self.signs = LifeSigns(twilio_s=now_s, caller_audio_s=now_s, model_s=now_s)
        self.told: list[CallMessage] = []
        self.asked: list[tuple[int, GeminiSessionMessage]] = []
        self.heartbeat = Heartbeat(
            patience=PATIENCE,
            signs=self.signs,
            parent=self.told.append,
            session=lambda message: self.asked.append((self.elapsed(), message)),
            clock=self.loop.time,
        )

    def elapsed(self) -> int:
        return round(self.loop.time() - self.began_s)

    async def live_for(self, seconds: int, *, twilio: bool = True, audio: bool = True, model: bool = True) -> None:
        """Signs of life twenty times a second from those that are alive."""
        for _ in range(seconds * 20):
            now_s = self.loop.time()
            if twilio:
                self.signs.twilio_s = now_s
            if audio:
                self.signs.caller_audio_s = now_s
            if model:
                self.signs.model_s = now_s
            await asyncio.sleep(0.05)

    def of(self, kind: type) -> list[int]:
        return [at_s for at_s, message in self.asked if isinstance(message, kind)]


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    watch = Watched()
    async with asyncio.TaskGroup() as group:
        group.create_task(watch.heartbeat.run())
        await asyncio.sleep(0)
        yield watch
        watch.heartbeat.stop()


async def test_a_lively_call_hears_of_nothing_but_its_beat() -> None:
    async with watched() as watch:
        watch.heartbeat.tell(Watch(1))
        await watch.live_for(31)
        assert [type(message) for message in watch.told] == [Beat, Beat, Beat]
        assert [message.at_s - watch.began_s for message in watch.told if isinstance(message, Beat)] == [
            about(10 * beat) for beat in (1, 2, 3)
        ]


async def test_a_stream_that_is_silent_is_reported_once() -> None:
    async with watched() as watch:
        await watch.live_for(40, twilio=False)
    silent = [message for message in watch.told if isinstance(message, StreamSilent)]
    assert silent == [StreamSilent(about(10.0), about(watch.began_s + 10))]


async def test_a_model_whose_socket_is_silent_is_reported_once_with_its_number() -> None:
    async with watched() as watch:
        watch.heartbeat.tell(Watch(3))
        await watch.live_for(150, model=False)
    silent = [message for message in watch.told if isinstance(message, ModelSilent)]
    assert silent == [ModelSilent(3, about(60.0), about(watch.began_s + 60))]
    assert watch.of(ProbeLink) == [20, 40]


async def test_a_model_is_probed_every_twenty_seconds() -> None:
    async with watched() as watch:
        watch.heartbeat.tell(Watch(1))
        await watch.live_for(61)
        assert watch.of(ProbeLink) == [20, 40, 60]


async def test_without_a_session_no_model_is_watched() -> None:
    async with watched() as watch:
        watch.heartbeat.tell(Watch(1))
        await watch.live_for(5)
        watch.heartbeat.tell(Watch(None))
        await watch.live_for(100, model=False, audio=False)
        assert watch.asked == []
        assert not any(isinstance(message, ModelSilent) for message in watch.told)


async def test_a_new_session_is_watched_from_its_own_beginning() -> None:
    async with watched() as watch:
        watch.heartbeat.tell(Watch(1))
        await watch.live_for(59, model=False)
        watch.signs.model_s = watch.loop.time()  # ready
        watch.heartbeat.tell(Watch(2))
        await watch.live_for(59, model=False)
        assert not any(isinstance(message, ModelSilent) for message in watch.told)
        await watch.live_for(3, model=False)
        (silent,) = [message for message in watch.told if isinstance(message, ModelSilent)]
        assert silent.session_no == 2


async def test_a_session_without_audio_is_told_of_the_pause_and_kept_alive_with_silence() -> None:
    async with watched() as watch:
        watch.heartbeat.tell(Watch(1))
        await watch.live_for(14, audio=False)
        assert [(at_s, message) for at_s, message in watch.asked if not isinstance(message, ProbeLink)] == [
            (1, EndSpeech()),
            (6, SendSilence(100)),
            (11, SendSilence(100)),
        ]


async def test_no_silence_is_sent_into_live_speech() -> None:
    async with watched() as watch:
        watch.heartbeat.tell(Watch(1))
        await watch.live_for(40)
        assert watch.of(SendSilence) == []
        assert watch.of(EndSpeech) == []


async def test_each_pause_is_told_once() -> None:
    async with watched() as watch:
        watch.heartbeat.tell(Watch(1))
        for _ in range(2):
            await watch.live_for(3, audio=False)
            await watch.live_for(3)
        assert len(watch.of(EndSpeech)) == 2
        assert watch.of(SendSilence) == []


async def test_the_beat_does_not_drift() -> None:
    async with watched() as watch:
        await watch.live_for(605)
    beats = [message.at_s - watch.began_s for message in watch.told if isinstance(message, Beat)]
    assert beats == [about(10.0 * number) for number in range(1, 61)]
