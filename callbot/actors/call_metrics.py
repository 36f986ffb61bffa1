"""The figures that a call counts, as the calls see them: names and units, whoever keeps them."""


class CallMetrics:
    """What a call counts. This base counts nothing; `telemetry/metrics.py` has the one that does."""

    def call_started(self) -> None:
        """A call has begun."""

    def call_ended(self, outcome: str, duration_s: float) -> None:
        """A call has been closed."""

    def turn_heard(self, latency_s: float | None) -> None:
        """Twilio has begun to play a turn, so long after the caller's last word."""

    def barge_in(self) -> None:
        """The caller has spoken over the model."""

    def session_opened(self, plan: str, setup_s: float) -> None:
        """A model session is ready."""

    def session_lost(self, cause: str) -> None:
        """A model session has ended, or could not be opened."""

    def recovered(self, after_s: float) -> None:
        """A call has a session again, so long after the loss."""

    def stream_fault(self, fault: str) -> None:
        """Something on a wire that should not be there."""

    def tokens_used(self, kind: str, count: int) -> None:
        """What the model reported: of the prompt, the response, its thoughts, tool use, or cached."""

    def text_turn(self) -> None:
        """The model has made a turn of text alone, which the caller does not hear."""

    def audio(self, frames_in: int, frames_out: int, dropped_ms: int) -> None:
        """A call's totals, at its end."""

    def call_reason(self, reason: str) -> None:
        """Why a call ended: a limit, a hang-up, a fault. Our own words, few of them."""

    def queued(self, backlog_ms: int, playout_ms: int) -> None:
        """How much audio waits in a call's two queues, now and then."""

    def cost(self, usd: float) -> None:
        """What the model's part of a call is estimated to have cost, at its end."""
