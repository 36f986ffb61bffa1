"""The story of calls on a terminal, to be understood in ten seconds: one call in full, or many with a line each."""

from statistics import median
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from callbot.telemetry.live import STATE_STYLES
from callbot.telemetry.timeline import Call, number

_BAR_WIDTH: Final = 28  # cells; with its columns a table stays within 80
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
SID_SHOWN: Final = 12  # characters of a sid in the overview: enough to tell calls apart, and for --call
_LATENCY_GOOD_MS, _LATENCY_POOR_MS = 800, 1500
_NOTHING_MS: Final = 100  # what is on its way when a call ends
"""People on the telephone take a second for natural, and ask "hello?" after two; colours only, no verdict."""


def print_overview(console: Console, calls: list[Call]) -> None:
    """Print one line for each call, within 80 columns."""
    days = {call.began[:10] for call in calls}
    same_day = len(days) == 1 and "" not in days
    if same_day:
        console.print(Text(f"Calls of {days.pop()} (UTC)", style="bold"))
    table = _table(
        ("call", ""), ("began", ""), ("length", ">"), ("turns", ">"), ("cut in", ">"), ("lost", ">"), ("answer", ">")
    )
    table.add_column("end", overflow="fold")
    for call in calls:
        latency = _ms(median(call.latencies_ms)) if call.latencies_ms else "-"
        sid = call.call_sid[:SID_SHOWN] + (f" #{call.stream_no}" if call.stream_no > 1 else "")
        began = call.began[11:19] if same_day else call.began[5:16].replace("T", " ")
        table.add_row(
            Text(sid),
            Text(began),
            _s(call.duration_ms),
            str(len(call.turns)),
            _count(len(call.barge_ins)),
            _count(len(call.lost_sessions)),
            latency,
            _ending(call),
        )
    console.print(table)


def print_call(console: Console, call: Call) -> None:
    """Print one call's story: header, states, turns, words, sessions, faults, summary."""
    _print_header(console, call)
    _section(console, "States", _states(call, blocks=not console.options.ascii_only))
    if call.turns:
        _section(console, "Turns", _turns(call))
    if call.words:
        _section(console, "Words", _words(call))
    if call.sessions:
        _section(console, "Model sessions", _sessions(call))
        if reasons := _reasons(call):
            _section(console, "Why sessions were lost", reasons)
    if call.faults or call.crashes:
        _section(console, "Faults", _faults(call))
    _section(console, "Summary", _summary(call))


def _print_header(console: Console, call: Call) -> None:
    stream = f"  stream {call.stream_no}" if call.stream_no > 1 else ""
    console.print(Text.assemble((f"Call {call.call_sid}", "bold"), stream), soft_wrap=True)
    model = call.model + (f" ({call.backend})" if call.backend else "")
    began = f"{call.began[:19].replace('T', ' ')} UTC" if call.began else ""
    facts = [began, call.caller and f"from {call.caller}", model and f"to {model}"]
    if any(facts):
        console.print(Text("  " + ", ".join(fact for fact in facts if fact)), soft_wrap=True)
    console.print(Text.assemble(f"  {_s(call.duration_ms)}, ", _ending(call)), soft_wrap=True)


def _ending(call: Call) -> Text:
    style = "green" if call.outcome == "completed" else "red"
    return Text.assemble((call.outcome, style), f" ({call.reason})" if call.reason else "")


def _states(call: Call, *, blocks: bool) -> Table:
    table = _table(("state", ""), ("from", ">"), ("for", ">"), ("", ""), ("left because", ""))
    total_ms = max(call.duration_ms, 1.0)
    for span in call.spans:
        if span.name == "closed" and span.duration_ms < 100:
            continue  # the summary follows at once
        style = STATE_STYLES.get(span.name, "")
        bar = Text(_bar(span.duration_ms / total_ms, blocks=blocks), style=style)
        table.add_row(Text(span.name, style=style), _s(span.start_ms), _length(span.duration_ms), bar, Text(span.reason))
    return table


def _bar(share: float, *, blocks: bool) -> str:
    """A bar of `share` of the full width; whatever is there at all is seen."""
    cells = min(max(share, 0.0), 1.0) * _BAR_WIDTH
    if not blocks:
        return "#" * max(1, round(cells))
    whole, eighth = divmod(round(cells * 8), 8)
    return "█" * whole + (_EIGHTHS[eighth] if eighth else "" if whole else "▏")


def _turns(call: Call) -> Table:
    table = _table(("turn", ">"), ("at", ">"), ("answer after", ">"), ("spoken", ">"), ("heard", ">"), ("", ""))
    for turn in call.turns.values():
        at_ms = turn.heard_at_ms if turn.heard_at_ms is not None else turn.speaking_ms
        if turn.interrupted:
            note = Text("the caller cut in", style="magenta")
        elif turn.ended_at_ms is None:
            note = Text("no end in this log", style="dim")
        else:
            note = Text("")
        table.add_row(str(turn.number), _s(at_ms), _latency(turn.latency_ms), _s(turn.audio_ms), _s(turn.heard_ms), note)
    return table


def _latency(latency_ms: float | None) -> Text:
    if latency_ms is None:
        return Text("-")
    style = "green" if latency_ms <= _LATENCY_GOOD_MS else "yellow" if latency_ms <= _LATENCY_POOR_MS else "red"
    return Text(_ms(latency_ms), style=style)


def _sessions(call: Call) -> Table:
    table = _table(("session", ">"), ("plan", ""), ("at", ">"), ("set up in", ">"), ("ended", ">"), ("lost because", ""))
    for session in call.sessions.values():
        lost = Text(f"{session.cause}: {session.decision}", style="red") if session.cause else Text("")
        if session.go_away_at_ms is not None:
            lost = Text.assemble(lost, " " if session.cause else "", "told to go")
        table.add_row(
            str(session.session_no),
            Text(session.plan),
            _s(session.opening_at_ms),
            _ms(session.setup_ms),
            _s(session.ended_at_ms),
            lost,
        )
    return table


def _words(call: Call) -> Table:
    table = _table(("at", ">"), ("who", ""), ("said", ""))
    for words in call.words:
        table.add_row(_s(words.at_ms), Text(words.role, style="cyan" if words.role == "caller" else ""), Text(words.text))
    return table


def _reasons(call: Call) -> Text | None:
    """The cause of each loss with the service's own words and what helps; None where no log line has any."""
    lines = []
    for session in call.lost_sessions:
        code = "" if session.code is None else f", code {session.code}"
        if session.detail or session.remedy:
            lines.append(
                f"session {session.session_no}: {session.cause}{code}" + (f": {session.detail}" if session.detail else "")
            )
        if session.remedy:
            lines.append(f"  -> {session.remedy}")
    return Text("\n".join(lines)) if lines else None


def _faults(call: Call) -> Table:
    table = _table(("fault", ""), ("times", ">"))
    for kind, times in call.faults.items():
        table.add_row(Text(kind), str(times))
    for crash in call.crashes:
        table.add_row(Text(crash, style="red"), "1")
    return table


def _summary(call: Call) -> Text:
    turns = _plural(len(call.turns), "turn")
    facts = [turns, _plural(len(call.barge_ins), "barge-in"), _reconnects(call)]
    if call.latencies_ms:
        facts.append(f"answers after {_ms(median(call.latencies_ms))} (median), {_ms(max(call.latencies_ms))} at most")
    lines = [", ".join(facts)]
    spoken_ms = sum(call.utterances_ms)
    heard_ms = sum(turn.heard_ms or 0.0 for turn in call.turns.values())
    sound = f"caller spoke {_s(spoken_ms)}, heard {_s(heard_ms)} of the bot"
    never_sent_ms = call.never_sent_ms
    if never_sent_ms is not None:
        sound += "; the model was sent " + (
            f"all but {_s(never_sent_ms)} of the caller's audio"
            if never_sent_ms >= _NOTHING_MS
            else "all of the caller's audio"
        )
    lines.append(sound)
    prompt, response = number(call.summary, "prompt_tokens"), number(call.summary, "response_tokens")
    if prompt or response:
        lines.append(f"tokens: {prompt or 0:.0f} in, {response or 0:.0f} out")
    return Text("\n".join(lines))


def _reconnects(call: Call) -> str:
    """How often the link was lost, and how long the longest gap was."""
    attempts = len(call.sessions)
    if attempts and all(session.ready_at_ms is None for session in call.sessions.values()):
        return f"no session opened ({_plural(attempts, 'attempt')})"
    outages = call.outages()
    gaps_ms = [outage.end_ms - outage.start_ms for outage in outages if outage.end_ms is not None]
    if not outages:
        return "link never lost"
    back = f", back after {_length(max(gaps_ms))}" if gaps_ms else ", not regained"
    return f"link lost {'once' if len(outages) == 1 else f'{len(outages)} times'}{back}"


def _section(console: Console, title: str, body: Table | Text) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    console.print(Padding(body, (0, 0, 0, 2), expand=False))


def _table(*columns: tuple[str, str]) -> Table:
    """A table without lines; a column is its head and ">" if it holds numbers."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for head, side in columns:
        table.add_column(head, justify="right" if side == ">" else "left", no_wrap=side == ">")
    return table


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _count(count: int) -> str:
    return str(count) if count else "-"


def _s(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms / 1000:.1f} s"


def _length(value_ms: float) -> str:
    """How long something took; what was over at once still took some time."""
    return _ms(value_ms) if 0 < value_ms < 100 else _s(value_ms)


def _ms(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms:.0f} ms"
