"""What the summary of one call adds up."""

from collections import Counter
from dataclasses import dataclass, field

from callbot.brief import Prices
from callbot.messages.call import CallMessage
from callbot.messages.session import ModelUsage, SessionLost, SessionReady, ToolCalled, TurnCompleted, TurnStarted


@dataclass(slots=True)
class Figures:
    """Counts and times of one stream. `began_s` is the loop's clock at its start."""

    began_s: float
    state: str = "connecting"
    state_since_s: float = 0.0
    state_ms: dict[str, int] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    barge_ins: int = 0
    sessions: int = 0
    sessions_lost: int = 0
    recovery_ms: list[int] = field(default_factory=list)
    lost_s: float | None = None
    prompt_tokens: int = 0
    response_tokens: int = 0
    thoughts_tokens: int = 0
    tool_tokens: int = 0
    cached_tokens: int = 0
    prompt_text_tokens: int = 0
    response_text_tokens: int = 0
    text_turns: int = 0
    tools: int = 0

    def __post_init__(self) -> None:
        self.state_since_s = self.began_s

    def count(self, message: CallMessage) -> None:
        """Count what has come."""
        match message:
            case SessionReady():
                self.sessions += 1
            case TurnStarted():
                self.turns += 1
            case ToolCalled():
                self.tools += 1
            case TurnCompleted(only_text=True):
                self.text_turns += 1
            case ModelUsage():
                self.prompt_tokens += message.prompt_tokens
                self.response_tokens += message.response_tokens
                self.thoughts_tokens += message.thoughts_tokens
                self.tool_tokens += message.tool_tokens
                self.cached_tokens += message.cached_tokens
                self.prompt_text_tokens += message.prompt_text_tokens
                self.response_text_tokens += message.response_text_tokens
            case _:
                pass

    def lost(self, message: SessionLost) -> None:
        """Count a session that was lost; the first of an outage begins it."""
        self.sessions_lost += 1
        if self.lost_s is None and self.state in {"streaming", "reconnecting"}:
            self.lost_s = message.at_s

    def recovered(self, at_s: float) -> float | None:
        """A session is ready: how long the outage before it was, in seconds; None when there was none."""
        if self.lost_s is None:
            return None
        after_s, self.lost_s = at_s - self.lost_s, None
        self.recovery_ms.append(int(after_s * 1000))
        return after_s

    def leave_state(self, now_s: float) -> int:
        """Add up the state in force until now; gives how long it was, in ms."""
        after_ms = int((now_s - self.state_since_s) * 1000)
        self.state_ms[self.state] = self.state_ms.get(self.state, 0) + after_ms
        self.state_since_s = now_s
        return after_ms


def cost_usd(figures: Figures, uplink_ms: int, frames_out: int, prices: Prices) -> float:
    """What the model's part of a stream costs; Twilio's part is not in it.

    By the tokens that the service reported, when their prices are set: it counts all of its context at every answer. Else
    an estimate, by the audio that was given to the model and the audio that came of it.
    """
    if not prices.per_mtok:
        into_min, out_min = uplink_ms / 60_000, frames_out * 20 / 60_000
        return round(into_min * prices.in_per_min + out_min * prices.out_per_min, 5)
    price: dict[str, float] = dict(prices.per_mtok)
    prompt_text = min(figures.prompt_text_tokens, figures.prompt_tokens)
    response_text = min(figures.response_text_tokens, figures.response_tokens)
    tokens = {
        "text_in": prompt_text + figures.tool_tokens,
        "audio_in": figures.prompt_tokens - prompt_text,
        "text_out": response_text + figures.thoughts_tokens,
        "audio_out": figures.response_tokens - response_text,
    }
    if "cached" in price:  # which part of the prompt was cached is not said: audio first, of which there is most
        of_audio = min(figures.cached_tokens, tokens["audio_in"])
        tokens["audio_in"] -= of_audio
        tokens["text_in"] -= min(figures.cached_tokens - of_audio, prompt_text)
        tokens["cached"] = figures.cached_tokens
    return round(sum(count * price.get(kind, 0.0) for kind, count in tokens.items()) / 1e6, 5)
