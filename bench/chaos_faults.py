"""What may go wrong in one simulated call, drawn by seed: on the model's side, on Twilio's side, and in the caller's mood."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from random import Random

from callbot.simulators.gemini import Fault, Parrot, StandInOptions
from callbot.simulators.gemini import faults as model
from callbot.simulators.gemini import triggers as at
from callbot.simulators.gemini.malformed import MALFORMED
from callbot.simulators.gemini.voice import tone
from callbot.simulators.twilio import faults as line
from callbot.simulators.twilio.line import Echo, Jitter, LineModel

# Close codes and reasons as the service uses them.
CLOSES = (
    (1000, "The operation was cancelled."),
    (1000, ""),
    (1001, ""),
    (1006, ""),
    (1007, "Request contains an invalid argument."),
    (1008, "Requested entity was not found."),
    (1008, "The operation was aborted"),
    (1008, "Operation is not implemented, or supported, or enabled."),
    (1011, "Internal error encountered."),
    (1011, "The service is currently unavailable."),
    (1011, "Deadline expired before operation could complete."),
    (1011, "You exceeded your current quota, please check your plan and billing details."),
    (1012, ""),
    (1013, ""),
    (4000, "something new"),
)
# Messages that end a stream on purpose are not survived but answered: they have tests of their own.
GARBAGE = tuple(kind for kind in line.Garbage if kind not in {line.Garbage.HUGE_PAYLOAD, line.Garbage.DEEP_NESTING})
# Too large for the socket's limit of 8 MiB it is not; the SDK's 1 MiB is not used.
NOISE = tuple(name for name in MALFORMED if name not in {"code", "setup_error"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """One call's share. `told` names its faults for a person; `half_open` says that the caller can hear nothing any more."""

    options: StandInOptions
    twilio: tuple[line.Fault, ...]
    line: LineModel
    exchanges: int
    barges_in: bool
    hang_up: line.HangUpStyle
    told: tuple[str, ...]
    half_open: bool


def _moment(draw: Random) -> at.Trigger:
    """A moment of an open session."""
    makers: tuple[Callable[[], at.Trigger], ...] = (
        lambda: at.CallerAudio(draw.randint(200, 4000)),
        lambda: at.ModelAudio(draw.randint(40, 900), turn=draw.randint(1, 3)),
        lambda: at.After(draw.uniform(0.05, 5.0)),
        at.OnReady,
        at.OnText,
        at.OnSpeech,
        at.OnSpeechEnd,
        at.OnInterrupted,
        at.OnGenerationComplete,
        at.OnTurnComplete,
    )
    return draw.choice(makers)()


def _in_session(draw: Random) -> model.Action:
    makers: tuple[Callable[[], model.Action], ...] = (
        lambda: model.Close(*draw.choice(CLOSES)),
        lambda: model.Close(*draw.choice(CLOSES)),
        lambda: model.Close(*draw.choice(CLOSES)),
        lambda: model.Abort(reset=draw.random() < 0.5),
        lambda: model.Freeze(until_text=draw.random() < 0.5),
        lambda: model.Stall(draw.uniform(0.1, 2.0)),
        lambda: model.SendRaw(MALFORMED[draw.choice(NOISE)]),
        lambda: model.Withhold(draw.choice(("generationComplete", "turnComplete", "interrupted", "audio"))),
        lambda: model.Duplicate(draw.choice(("interrupted", "turnComplete", "inputTranscription", "sessionResumptionUpdate"))),
        model.NeverResumable,
        model.Interrupt,
        lambda: model.SendGoAway(draw.choice(("50s", "3s", "1.5s", "0s", "soon", None))),
        lambda: model.StopReading(draw.uniform(0.5, 3.0)),
        lambda: model.ReadSlowly(draw.uniform(0.02, 0.2)),
        lambda: model.DelayPongs(draw.choice((2.0, None))),
        model.BlackHole,
        model.IgnoreClose,
        lambda: model.HalfOpenClose(draw.choice((1000, 1011))),
    )
    return draw.choice(makers)()


def _opening(draw: Random) -> Fault:
    """A session that does not open, or not well."""
    times = draw.randint(1, 3)
    makers: tuple[Callable[[], Fault], ...] = (
        lambda: Fault(at.OnConnect(), model.Refuse(draw.choice((429, 500, 503))), times=times),
        lambda: Fault(at.OnConnect(), model.HangUpgrade(), times=1),
        lambda: Fault(at.OnConnect(), model.SlowUpgrade(draw.uniform(0.1, 1.0)), times=times),
        lambda: Fault(at.OnConnect(), model.Abort(), times=times),
        lambda: Fault(at.OnSetup(), model.NoSetupReply(), times=1),
        lambda: Fault(at.OnSetup(), model.SlowSetup(draw.uniform(0.1, 1.0)), times=times),
        lambda: Fault(at.OnSetup(), model.ReplyToSetup(MALFORMED[draw.choice(("empty_object", "setup_error", "not_json"))])),
        lambda: Fault(at.OnSetup(), model.Close(*draw.choice(CLOSES)), times=times),
    )
    return draw.choice(makers)()


def _model_side(draw: Random) -> Fault:
    if draw.random() < 0.25:
        return _opening(draw)
    return Fault(_moment(draw), _in_session(draw), times=draw.choice((1, 1, 1, 2, 3)))


def _twilio(draw: Random) -> line.Fault:
    at_ms = draw.randint(0, 6000)
    makers: tuple[Callable[[], line.Fault], ...] = (
        lambda: line.Stall(at_ms, draw.randint(100, 1500)),
        lambda: line.LoseFrames(at_ms, draw.randint(1, 40)),
        lambda: line.StopReading(at_ms, draw.randint(100, 1500)),
        lambda: line.SendGarbage(draw.choice(GARBAGE), at_ms, times=draw.randint(1, 20)),
        lambda: line.DtmfStorm(at_ms, presses=draw.randint(1, 30)),
        lambda: line.MarkFlood(at_ms, marks=draw.randint(1, 100)),
        lambda: line.DuplicateStart(at_ms),
        line.ReplayVoiceWebhook,
        lambda: line.EndStream(at_ms, draw.choice(list(line.HangUpStyle)), stream=1),
    )
    return draw.choice(makers)()


def draw_trouble(draw: Random) -> Trouble:
    """Up to three faults on the model's side and up to two on Twilio's; one call in ten has none at all."""
    wrong: list[Fault] = []
    twilio: list[line.Fault] = []
    if draw.random() > 0.1:
        wrong = [_model_side(draw) for _ in range(draw.choice((1, 1, 2, 2, 3)))]
        twilio = [_twilio(draw) for _ in range(draw.choice((0, 0, 1, 1, 2)))]
    options = StandInOptions(
        brain=Parrot(greeting=tone(440.0, 0.4), min_answer_s=draw.choice((0.0, 1.0, 2.5))),
        faults=tuple(wrong),
        seed=draw.getrandbits(30),
        answer_delay_s=draw.uniform(0.02, 0.5),
        burst=draw.choice((1.0, 2.0, 4.0, inf)),
        late_input_transcription=draw.random() < 0.3,
        usage_in_turn_complete=draw.random() < 0.5,
        handle_at_setup=draw.random() < 0.5,
        forget_on_resume=draw.random() < 0.2,
    )
    noisy = LineModel(
        loss=draw.choice((0.0, 0.0, 0.01, 0.05)),
        jitter=draw.choice((None, Jitter(), Jitter(stall_every_s=3.0, stall_ms=(100.0, 600.0)))),
        echo=draw.choice((None, None, Echo(attenuation_db=30.0))),
    )
    silent = any(isinstance(fault, line.EndStream) and fault.style is line.HangUpStyle.SILENCE for fault in twilio)
    told = [f"{type(f.at).__name__}:{type(f.do).__name__}" for f in wrong] + [type(f).__name__ for f in twilio]
    return Trouble(
        options=options,
        twilio=tuple(twilio),
        line=noisy,
        exchanges=draw.randint(1, 3),
        barges_in=draw.random() < 0.3,
        hang_up=draw.choice(list(line.HangUpStyle)),
        told=tuple(told),
        half_open=silent,
    )
