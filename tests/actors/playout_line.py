"""A playout, the clock that runs it, and what goes out."""

from callbot.actors.playout import Clear, Mark, Media, Outgoing, Playout, Wait

FRAME = 160


def audio(turn: int, ms: int) -> bytes:
    return bytes([turn]) * (ms * 8)


def playout(*, lead_ms: int = 400, mark_every_ms: int = 500, cap_s: float = 60.0) -> Playout:
    return Playout(lead_ms=lead_ms, mark_every_ms=mark_every_ms, cap_s=cap_s)


def send_all_due(line: Playout, now_s: float) -> list[Media | Mark | Clear]:
    """Everything that goes out at this moment."""
    sent: list[Media | Mark | Clear] = []
    while (outgoing := line.next(now_s)) is not None and not isinstance(outgoing, Wait):
        sent.append(outgoing)
    return sent


def run(line: Playout, now_s: float, until_s: float) -> list[tuple[float, Media | Mark | Clear]]:
    """Let the clock run: what goes out, and when."""
    sent: list[tuple[float, Media | Mark | Clear]] = []
    while now_s <= until_s:
        outgoing: Outgoing = line.next(now_s)
        if outgoing is None:
            break
        if isinstance(outgoing, Wait):
            if now_s + outgoing.delay_s > until_s:
                break
            now_s += max(outgoing.delay_s, 0.001)
        else:
            sent.append((now_s, outgoing))
    return sent


def ms_of(sent: list[Media | Mark | Clear]) -> int:
    return sum(len(outgoing.mulaw) // 8 for outgoing in sent if isinstance(outgoing, Media))


def marks_of(sent: list[Media | Mark | Clear]) -> list[str]:
    marks = [
        outgoing.mark if isinstance(outgoing, Media) else outgoing.name for outgoing in sent if not isinstance(outgoing, Clear)
    ]
    return [mark for mark in marks if mark is not None]
