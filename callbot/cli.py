"""The commands. Thin: each reads its arguments and the settings, hands over, and gives an exit code.

Exit codes: 0 done, 1 failed, 2 wrong use or configuration, with a sentence that says what to set. Imports are made where
they are needed: `callbot logs` needs no model client.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from callbot import __version__

if TYPE_CHECKING:
    from callbot.server.process.workers import WorkerPlace
    from callbot.settings import Settings

OK, FAILED, MISUSED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    _open_closed_streams()
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        match chosen.command:
            case "serve":
                return _serve(chosen.worker)
            case "demo":
                return _demo(real=chosen.real, out=chosen.out)
            case "logs":
                return _logs(chosen)
            case "check":
                return _check(offline=chosen.offline)
    except KeyboardInterrupt:
        return 130  # what a shell expects of a command that was interrupted
    parser.print_help()
    return MISUSED


def _open_closed_streams() -> None:
    """Give standard streams that were closed when the process started /dev/null: a socket must not get their numbers, and
    with them what is meant for a log.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the life of the process


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="callbot", description="The phone line to a realtime speech model. Settings come from the environment and .env."
    )
    parser.add_argument("--version", action="version", version=f"callbot {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    serve = commands.add_parser("serve", help="answer calls until told to stop")
    serve.add_argument("--worker", default="", help=argparse.SUPPRESS)  # how the parent of several workers starts one
    demo = commands.add_parser("demo", help="place a call against the stand-ins for Twilio and Gemini, and show it")
    demo.add_argument("--real", action="store_true", help="talk to the real Gemini API instead (needs GEMINI_API_KEY)")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for the WAV, the picture and the log")
    logs = commands.add_parser("logs", help="tell the story of calls from a JSON log")
    logs.add_argument(
        "file", metavar="FILE", help="a log, packed or not, or - for standard input; also what gcloud, compose give"
    )
    logs.add_argument("--call", metavar="SID", help="only this call; the beginning of its CallSid is enough")
    logs.add_argument(
        "--since", metavar="WHEN", help="only calls that began in the last 30m, 2h or 1d, or since 2026-11-27T10:00"
    )
    logs.add_argument("--failed", action="store_true", help="only calls that did not end as they should")
    logs.add_argument("--last", metavar="N", type=int, help="only the last N calls")
    logs.add_argument("--follow", action="store_true", help="show calls as they happen, until interrupted")
    check = commands.add_parser("check", help="say whether this configuration can take a call, and what is missing")
    check.add_argument("--offline", action="store_true", help="look at the settings only; reach out to nobody")
    return parser


def _serve(worker: str) -> int:
    import gc

    gc.disable()  # until everything is loaded: there is no garbage in modules

    from callbot.preflight import problems_before_serving
    from callbot.settings_loading import SettingsError, load, secrets_of

    try:
        settings = load()
    except SettingsError as error:
        return _misused(error.problems)
    if problems := problems_before_serving(settings):
        return _misused(problems)

    from callbot.server.process.workers import WorkerPlace, serve_by_workers
    from callbot.telemetry import logs

    logs.configure(settings.log_format, settings.log_level)
    logs.register_secrets(secrets_of(settings))
    try:
        if worker:
            _carry(settings, WorkerPlace.read(worker))
        elif settings.worker_count > 1:
            gc.enable()
            return serve_by_workers(settings)
        else:
            _carry(settings, None)
    except OSError as error:
        sys.stderr.write(f"callbot: port {settings.port} cannot be had ({error.strerror}); set PORT to another one.\n")
        return FAILED
    return OK


def _carry(settings: "Settings", place: "WorkerPlace | None") -> None:
    """Carry calls in this process: the only one, or a worker of several."""
    import asyncio
    import gc

    import structlog
    import uvloop

    from callbot.assembly import serve_calls
    from callbot.server.transport.shared_listener import LoadBoard, WorkerShare, shared_listener_loop

    def freeze_what_stays() -> None:
        """Modules and their like never become garbage; collections need not walk them (gc.freeze), least of all while they
        are loaded.

        The thresholds stay: with higher ones a hundred ended calls, circles all of them, kept 11 MB instead of 3.
        """
        gc.collect()
        gc.freeze()
        gc.enable()

    share: WorkerShare | None = None
    if place is not None:
        place.end_with_parent()
        number = place.worker
        structlog.configure(processors=[lambda *line: line[2] | {"worker": number}, *structlog.get_config()["processors"]])
        settings = place.own_settings(settings)
        share = WorkerShare(LoadBoard(place.board_fd, place.workers), place.worker)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if share is None else lambda: shared_listener_loop(share)) as runner:
        runner.run(serve_calls(settings, on_loaded=freeze_what_stays, place=place, share=share))


def _demo(*, real: bool, out: Path) -> int:
    try:
        from callbot.demo import DemoError, run_demo
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"trustme", "aiohttp"}:
            raise
        return _misused([f"the demo needs {missing.name}: install callbot with its stand-ins, callbot[simulators]."])
    try:
        return run_demo(real=real, out=out)
    except DemoError as error:
        return _misused([str(error)])


def _logs(chosen: argparse.Namespace) -> int:
    from rich.console import Console

    from callbot.telemetry.logs_command import Wanted, follow_logs, show_logs

    try:
        wanted = Wanted.of(call=chosen.call, since=chosen.since, failed=chosen.failed, last=chosen.last)
    except ValueError as error:
        return _misused([str(error)])
    if chosen.follow:
        return follow_logs(chosen.file, wanted, Console())
    return show_logs(chosen.file, wanted, Console())


def _check(*, offline: bool) -> int:
    from callbot.check import run_check

    return run_check(offline=offline)


def _misused(problems: list[str]) -> int:
    for problem in problems:
        sys.stderr.write(f"callbot: {problem}\n")
    return MISUSED
