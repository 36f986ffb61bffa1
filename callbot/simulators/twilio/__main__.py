"""Places one call that speaks the given WAV files, and prints what came of it.

    python -m callbot.simulators.twilio --connect-to http://127.0.0.1:8080 --public-url https://bot.example hello.wav

Exit codes: 0 the call went well, 1 it had violations (remarks are none), 2 wrong use.
The auth token comes from the environment.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from callbot.simulators.twilio.carrier import Carrier
from callbot.simulators.twilio.options import CarrierOptions
from callbot.simulators.twilio.report import CallReport
from callbot.simulators.twilio.report_text import describe, problems
from callbot.simulators.twilio.rest import RestApi
from callbot.simulators.twilio.script import Speak, Step, WaitUntilBotQuiet, WaitUntilBotSpeaks
from callbot.simulators.twilio.wav import WavError, read_wav


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    token = os.environ.get(given.auth_token_env, "").partition(",")[0].strip()
    if not token:
        parser.error(f"set {given.auth_token_env} in the environment: requests are signed with the auth token")
    try:
        options = CarrierOptions(
            public_url=given.public_url.rstrip("/"),
            connect_to=given.connect_to.rstrip("/"),
            account_sid=os.environ.get("TWILIO_ACCOUNT_SID", "") or "AC" + "0" * 32,
            auth_token=token,
            voice_path=given.voice_path,
            status_path=given.status_path,
            max_call_s=given.max_call_s,
            audible_say=given.audible_say,
        )
        script = _script(given.wav, greeting=given.greeting, quiet_ms=given.quiet_ms, patience_s=given.patience_s)
    except (WavError, ValueError) as error:
        parser.error(str(error))
    try:
        report = asyncio.run(_call(Carrier(options), script, given))
    except OSError as error:
        parser.error(f"--rest-port {given.rest_port}: {error.strerror or error}; choose another")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the call was dropped\n")
        return 130
    sys.stdout.write(describe(report))
    if given.save is not None and not _save(report, given.save):
        return 2
    return 1 if problems(report) else 0


async def _call(carrier: Carrier, script: Sequence[Step], given: argparse.Namespace) -> CallReport:
    if given.rest_port is None:
        return await carrier.call(script, from_number=given.from_number, to_number=given.to_number)
    async with RestApi(carrier, port=given.rest_port) as api:
        sys.stderr.write(f"REST API on {api.url}, with the account's sid and auth token\n")
        return await carrier.call(script, from_number=given.from_number, to_number=given.to_number)


def _script(paths: Sequence[Path], *, greeting: bool, quiet_ms: int, patience_s: float) -> list[Step]:
    steps: list[Step] = []
    if greeting:
        steps += [WaitUntilBotSpeaks(patience_s), WaitUntilBotQuiet(quiet_ms)]
    for path in paths:
        audio = read_wav(path)
        steps += [Speak(audio, name=path.name), WaitUntilBotSpeaks(patience_s), WaitUntilBotQuiet(quiet_ms)]
    return steps


def _save(report: CallReport, path: Path) -> bool:
    try:
        path.write_bytes(report.stereo_wav())
    except OSError as error:
        sys.stderr.write(f"{path}: cannot be written ({error.strerror})\n")
        return False
    sys.stdout.write(f"\nRecording: {path} (left: the caller, right: what they heard)\n")
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m callbot.simulators.twilio",
        description="Call an app as Twilio would, speak WAV files to it, and report what came back.",
    )
    parser.add_argument("wav", nargs="+", type=Path, metavar="WAV", help="8 or 16 kHz, 16 bit; spoken in turn")
    parser.add_argument("--connect-to", required=True, metavar="URL", help="where the app listens: http://HOST:PORT")
    parser.add_argument(
        "--public-url", required=True, metavar="URL", help="the origin the app is known by; signatures are made from it"
    )
    parser.add_argument(
        "--auth-token-env",
        default="TWILIO_AUTH_TOKEN",
        metavar="NAME",
        help="environment variable that holds the auth token (default: %(default)s)",
    )
    parser.add_argument("--voice-path", default="/twiml", metavar="PATH", help="voice webhook (default: %(default)s)")
    parser.add_argument("--status-path", default="", metavar="PATH", help="status callback of the number (default: none)")
    parser.add_argument("--from", dest="from_number", default="+14158675310", metavar="NUMBER", help="the caller")
    parser.add_argument("--to", dest="to_number", default="+18005551212", metavar="NUMBER", help="the number called")
    parser.add_argument("--greeting", action="store_true", help="let the bot greet first")
    parser.add_argument(
        "--quiet-ms", type=int, default=1200, metavar="MS", help="silence that ends the bot's turn (default: %(default)s)"
    )
    parser.add_argument(
        "--patience-s", type=float, default=15.0, metavar="S", help="how long to wait for an answer (default: %(default)s)"
    )
    parser.add_argument("--audible-say", action="store_true", help="let <Say> be heard, spoken by espeak-ng")
    parser.add_argument("--rest-port", type=int, metavar="PORT", help="serve the REST API meanwhile (0: any free port)")
    parser.add_argument("--max-call-s", type=float, default=300.0, metavar="S", help="time limit (default: %(default)s)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write a stereo WAV of the call")
    return parser


if __name__ == "__main__":
    sys.exit(main())
