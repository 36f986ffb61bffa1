"""`callbot demo`: the real server takes a call from the Twilio stand-in, and what happened is shown.

The model is Gemini's stand-in, unless `--real` is given. The call has everything in it that a call can have: a greeting,
an answer, an interruption, a link to the model that breaks in mid-sentence, a hang-up.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from callbot.assembly import serve_calls
from callbot.server.process.serve import Shutdown
from callbot.settings import Settings
from callbot.settings_loading import SettingsError, load, secrets_of
from callbot.simulators import voices
from callbot.simulators.gemini import Fault, GeminiStandIn, Parrot, StandInOptions
from callbot.simulators.gemini.faults import SlowSetup
from callbot.simulators.gemini.triggers import OnSetup
from callbot.simulators.twilio import CallReport, Carrier, CarrierOptions, Line, problems
from callbot.telemetry import demo_files, logs
from callbot.telemetry.live import LiveCall

_PUBLIC_URL: Final = "https://bot.example"
_CALLER: Final = "+14155550123"


class DemoError(Exception):
    """The demo cannot be run as asked; the message says what to do."""


def run_demo(*, real: bool, out: Path) -> int:
    """Place the call; returns the exit code. Writes `call.wav`, `call.svg` and `call.jsonl` into `out`.

    Raises `DemoError` when something is missing that the user can mend.
    """
    console = Console()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"the folder {out} cannot be made ({error.strerror}); choose another with --out") from None
    return asyncio.run(_demo(console, real=real, out=out))


async def _demo(console: Console, *, real: bool, out: Path) -> int:
    console.print(
        "A call to callbot: the real server, a stand-in for Twilio's caller"
        + (", the real Gemini." if real else " and one for Gemini Live.")
    )
    log_path = out / "call.jsonl"
    async with AsyncExitStack() as stack:
        live = stack.enter_context(LiveCall(console))
        stream = stack.enter_context(demo_files.LogTee(log_path, live.feed))
        logs.configure("json", "info", stream=stream)
        standin = None if real else await stack.enter_async_context(GeminiStandIn(_standin_options()))
        settings = _settings(standin)
        logs.register_secrets(secrets_of(settings))
        console.print("The server is loading.")
        port = await stack.enter_async_context(_server(settings))
        console.print("It is ready; the caller dials.")
        carrier = Carrier(
            CarrierOptions(
                public_url=_PUBLIC_URL,
                connect_to=f"http://127.0.0.1:{port}",
                account_sid=settings.twilio_account_sid,
                auth_token=settings.twilio_auth_token[0].get_secret_value(),
                seed=7,
            )
        )
        report = await carrier.call(_script(standin), from_number=_CALLER)
    events = demo_files.read_events(log_path)
    if standin is None and not any(event.get("message") == "session.ready" for event in events):
        console.print(_unreached(events), style="red", highlight=False, soft_wrap=True)
        return 1
    files = demo_files.write(out, report.sent, report.heard, events, report_marks(report), report_clears(report))
    demo_files.summarise(console, events, files)
    if standin is not None:
        console.print(
            "A stand-in answered, with recorded words: no model was called. "
            "Set GEMINI_API_KEY and add --real to talk with Gemini itself.",
            soft_wrap=True,
        )
    return _verdict(console, report)


def report_marks(report: CallReport) -> list[tuple[float, str]]:
    """When each mark came back: seconds from the stream's start, and its name."""
    return [
        (mark.echoed_s, mark.name)
        for stream in report.streams
        for mark in stream.marks
        if mark.echoed_s is not None and not mark.cleared
    ]


def report_clears(report: CallReport) -> list[tuple[float, float]]:
    """When each clear came, and how many ms of audio it threw away."""
    return [(clear.at_s, clear.dropped_ms) for clear in report.clears]


def _standin_options() -> StandInOptions:
    return StandInOptions(
        brain=Parrot(greeting=voices.bot("greeting"), lead=voices.bot("answer"), min_answer_s=3.0),
        answer_delay_s=0.35,
        # The second set-up takes as long as a real one, so that the hole shows in the picture.
        faults=(Fault(at=OnSetup(), do=SlowSetup(0.4), connection=2),),
    )


def _settings(standin: GeminiStandIn | None) -> Settings:
    """The demo's own settings; with `--real` the model's come from the environment."""
    chosen: dict[str, Any] = {
        "port": 0,
        "host": "127.0.0.1",
        "service_url": _PUBLIC_URL,
        "twilio_account_sid": "AC" + secrets.token_hex(16),
        "twilio_auth_token": secrets.token_hex(16),
        "drain_s": 3.0,
        "progress_s": 5.0,
    }
    if standin is not None:
        chosen |= {
            "gemini_api_key": "stand-in",
            "use_vertexai": False,
            "gemini_base_url": standin.base_url,
            "ssl_cert_file": str(standin.ca_pem_path),
            "model": "gemini-3.8-live",
            "fallback_models": "",
        }
    try:
        settings = load(**chosen)
    except SettingsError as error:
        raise DemoError(str(error)) from None
    if standin is None and settings.gemini_api_key is None and not settings.use_vertexai:
        raise DemoError("GEMINI_API_KEY is not set: --real needs a key of the Gemini API.")
    return settings


@asynccontextmanager
async def _server(settings: Settings) -> AsyncIterator[int]:
    """The server, once a call that comes waits for nothing; yields its port."""
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    loaded = asyncio.Event()
    shutdown = Shutdown()
    async with asyncio.TaskGroup() as group:
        group.create_task(
            serve_calls(settings, on_started=started.set_result, on_loaded=loaded.set, shutdown=shutdown),
        )
        try:
            await loaded.wait()
            yield await started
        finally:
            shutdown.request()


def _unreached(events: Sequence[dict[str, Any]]) -> str:
    """Why the real model never answered, and what to do about it, in one sentence."""
    lost = next((event for event in events if event.get("message") == "session.lost"), {})
    cause = str(lost.get("detail") or lost.get("cause") or "no session was opened").rstrip(".")
    return f"Gemini could not be reached ({cause}): look at the network and the key; `callbot check` tries both."


def _script(standin: GeminiStandIn | None) -> Any:
    """What the caller does."""

    async def talk(line: Line) -> None:
        await line.wait_until_bot_speaks()
        await line.wait_until_bot_quiet()
        await line.speak(voices.caller("three_cards"), name="a first request")
        await line.wait_until_bot_speaks()
        await line.barge_in(voices.caller("number"), after_ms=1500, name="an interruption")
        await line.wait_until_bot_speaks()
        await line.wait_until_bot_quiet()
        async with asyncio.TaskGroup() as group:
            group.create_task(line.speak(voices.caller("go_somewhere"), name="a request while the link breaks"))
            if standin is not None:
                group.create_task(_break_link(standin))
        await line.wait_until_bot_speaks()
        await line.wait_until_bot_quiet()
        await line.hang_up()

    return talk


async def _break_link(standin: GeminiStandIn) -> None:
    """In the middle of the caller's sentence the connection to the model is gone, without a word."""
    await asyncio.sleep(0.9)
    for session in standin.sessions:
        if not session.closed:
            session.abort()


def _verdict(console: Console, report: CallReport) -> int:
    found = problems(report)
    for problem in found:
        console.print(f"[red]Not as it should be:[/red] {problem}")
    return 1 if found else 0
