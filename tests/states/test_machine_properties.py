"""Any order of events that a call may meet: what must hold then, whatever happened before."""

from call_world import MAY_RUN, SECRET, CallWorld
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant

from callbot.effects import OpenSession, RecordEnding, Report
from callbot.messages.call import CallerGone, ChildExited
from callbot.messages.session import HandleRenewed, SessionLost
from callbot.messages.terms import Child, Decision, Plan
from callbot.states import State

# The timers of which one has to run so that no state lasts for ever.
ENDS_WITH: dict[State, set[str]] = {
    State.CONNECTING: {"unreachable"},
    State.STREAMING: {"max_call"},
    State.RECONNECTING: {"unreachable"},
    State.DRAINING: {"drain"},
    State.CLOSED: set[str](),
}


class OrderlyCall(CallWorld):
    """What holds at every moment of a call, and at its end."""

    @invariant()
    def no_state_lasts_for_ever(self) -> None:
        assert set(self.timers) >= ENDS_WITH[self.machine.state]

    @invariant()
    def timers_of_states_that_were_left_do_not_run(self) -> None:
        assert set(self.timers) <= MAY_RUN[self.machine.state]

    @invariant()
    def the_machine_knows_which_timers_run(self) -> None:
        assert self.timers == self.machine.timers

    @invariant()
    def turns_given_out_only_grow(self) -> None:
        assert self.first_turns == sorted(self.first_turns)

    @invariant()
    def the_handle_is_in_nothing_that_could_be_printed(self) -> None:
        assert SECRET not in repr(self.machine.record)
        assert SECRET not in repr(self.log[-40:])

    @invariant()
    def a_call_is_summed_up_once_and_only_when_it_is_closed(self) -> None:
        reports = sum(isinstance(effect, Report) for effect in self.log)
        assert reports == (1 if self.machine.state is State.CLOSED else 0)

    @invariant()
    def how_the_stream_ends_is_recorded_once(self) -> None:
        endings = sum(isinstance(effect, RecordEnding) for effect in self.log)
        assert endings == (1 if self.machine.state in {State.DRAINING, State.CLOSED} else 0)

    def teardown(self) -> None:
        """From wherever the call is, it can be closed in order, by its children's ends alone."""
        if not hasattr(self, "machine"):
            return
        self.tell(CallerGone("closed", 1.0))
        assert self.machine.state in {State.DRAINING, State.CLOSED}
        assert self.machine.state is State.CLOSED or set(self.timers) == {"drain"}
        for session_no in sorted(self.sessions):
            if self.sessions.pop(session_no) != "ended":
                self.tell(SessionLost(session_no, Decision.RESUME, "closed_by_us", 1000, "", 1.0))
            self.tell(ChildExited(Child.GEMINI_SESSION, session_no, None, 1.0))
        for child in sorted(self.children):
            self.tell(ChildExited(child, 0, None, 1.0))
        assert self.machine.state is State.CLOSED
        assert self.timers == {}
        self.a_call_is_summed_up_once_and_only_when_it_is_closed()
        self.the_handle_is_in_nothing_that_could_be_printed()


TestCallWorld = OrderlyCall.TestCase
TestCallWorld.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_a_handle_is_in_no_printed_form_of_what_carries_it() -> None:
    assert SECRET not in repr(HandleRenewed(1, SECRET))
    assert SECRET not in repr(OpenSession(1, Plan.RESUME, 0, 1, 0.0, SECRET))
