"""Run the stand-in until interrupted, and say how to point a client at it."""

import argparse
import asyncio
import math
import signal
import sys
import wave
from pathlib import Path

from .brains import Parrot
from .families import RULES, change_rule
from .named_faults import NAMED_FAULTS
from .options import StandInOptions
from .server import GeminiStandIn
from .voice import MODEL_RATE_HZ


def _parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m callbot.simulators.gemini",
        description="A local Gemini Live server that greets when written to and says back what it hears.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--ca-file", type=Path, help="where to write the CA certificate (default: a temporary file)")
    parser.add_argument("--plain", action="store_true", help="ws without TLS, for clients with a patched connector")
    parser.add_argument("--greeting", type=Path, help="WAV file to greet with: 24 kHz, 16-bit, mono")
    parser.add_argument("--min-answer", type=float, default=0.0, metavar="S", help="shortest answer in seconds")
    parser.add_argument("--answer-delay", type=float, default=0.2, metavar="S", help="pause before an answer")
    parser.add_argument("--burst", type=float, default=4.0, help="times real time; inf sends all at once")
    parser.add_argument("--go-away-at", type=float, metavar="S", help="age at which goAway is sent")
    parser.add_argument("--time-left", type=float, default=50.0, metavar="S", help="from goAway to the close")
    parser.add_argument("--max-sessions", type=int, help="refuse more than so many at once with 429")
    parser.add_argument(
        "--fault", action="append", default=[], choices=sorted(NAMED_FAULTS), metavar="NAME",
        help="misbehave as users have reported; may be repeated. Names: " + ", ".join(sorted(NAMED_FAULTS)),
    )  # fmt: skip
    parser.add_argument(
        "--rule", action="append", default=[], metavar="FAMILY.RULE=yes|no",
        help="change what the models of a family do, for instance 2.5.answers_history=yes; may be repeated",
    )  # fmt: skip
    return parser.parse_args(arguments)


def read_greeting(path: Path) -> bytes:
    """Return the samples of a WAV file.

    Raises:
        ValueError: it is not a WAV file of 24 kHz, 16-bit, mono.
    """
    convert = "convert it with: sox IN -r 24000 -b 16 -c 1 OUT.wav"
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (MODEL_RATE_HZ, 2, 1):
                raise ValueError(f"{path} must be 24 kHz, 16-bit, mono; {convert}")
            return file.readframes(file.getnframes())
    except (wave.Error, EOFError) as broken:
        raise ValueError(f"{path} is not a WAV file ({broken}); {convert}") from broken


def advice(standin: GeminiStandIn) -> str:
    """Return what to set to reach a running stand-in, in plain words."""
    lines = [f"Listening on {standin.base_url} (Ctrl-C ends it).", "Set these for the client:", ""]
    if standin.options.tls:
        lines.append(f"  export SSL_CERT_FILE={standin.ca_pem_path}")
    lines += [
        f"  export GOOGLE_GEMINI_BASE_URL={standin.base_url}",
        "  export GEMINI_API_KEY=any-key-will-do",
        "",
    ]
    if standin.options.tls:
        lines.append("SSL_CERT_FILE replaces the public CAs for the whole process; add this CA to a copy of your")
        lines.append("bundle if the client calls other services too.")
    else:
        lines.append("Without TLS the SDK needs a patched connector: it insists on wss.")
    return "\n".join(lines) + "\n"


async def run(options: StandInOptions) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with GeminiStandIn(options) as standin:
        sys.stdout.write(advice(standin))
        sys.stdout.flush()
        await stop.wait()


def main() -> int:
    """Run the command; 2 for an option that makes no sense."""
    chosen = _parse()
    try:
        parrot = Parrot(
            greeting=read_greeting(chosen.greeting) if chosen.greeting else None,
            min_answer_s=chosen.min_answer,
        )
        rules = RULES
        for text in chosen.rule:
            rules = change_rule(rules, text)
        options = StandInOptions(
            rules=rules,
            faults=tuple(fault for name in chosen.fault for fault in NAMED_FAULTS[name]),
            host=chosen.host,
            port=chosen.port,
            tls=not chosen.plain,
            ca_path=chosen.ca_file,
            brain=parrot,
            burst=chosen.burst if chosen.burst > 0 else math.inf,
            answer_delay_s=chosen.answer_delay,
            go_away_at_s=chosen.go_away_at,
            go_away_time_left_s=chosen.time_left,
            max_sessions=chosen.max_sessions,
            record_audio=False,
        )
        asyncio.run(run(options))
    except (ValueError, OSError) as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
