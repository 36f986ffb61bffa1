"""How a carrier is set up, and what one stream is made of."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from callbot.simulators.twilio.faults import Fault, HangUpStyle
from callbot.simulators.twilio.line import LineModel
from callbot.simulators.twilio.outbound import Callee, Outcome
from callbot.simulators.twilio.speech import PROGRAM, is_installed

type DialOutcome = Literal["completed", "busy", "no-answer", "failed"]


@dataclass(frozen=True, slots=True)
class CarrierOptions:
    """The account, the number and its settings, and how the stand-in behaves where Twilio has no fixed answer.

    `public_url` is the origin the app is known by; signatures are made from it. `connect_to` is where requests
    and sockets really go; several addresses take turns, like instances behind a load balancer. Addresses
    other than the public origin are not reachable unless `hosts` maps their origin to a local one.
    Paths may carry a query and Twilio's connection overrides (`#rc=2&ct=500`).
    """

    public_url: str
    connect_to: str | tuple[str, ...]
    account_sid: str = "AC" + "0123456789abcdef" * 2
    auth_token: str = field(default="0" * 32, repr=False)
    old_auth_token: str = field(default="f" * 32, repr=False)  # what BadSignature.PREVIOUS signs with
    voice_path: str = "/twiml"
    fallback_path: str = ""
    status_path: str = ""
    status_delay_s: float = 0.0  # status callbacks may come late ...
    status_copies: int = 1  # ... and more than once
    seed: int | None = None
    setup_ms: tuple[int, int] = (20, 120)  # from the TwiML answer to the handshake; the true figure is unknown
    say_ms_per_character: float = 60.0  # ordinary speech: about 15 characters a second
    audible_say: bool = False  # spoken by espeak-ng, and heard; it takes as long as it takes
    dial_outcome: DialOutcome = "completed"
    dial_talk_s: float = 2.0
    parties: Mapping[str, Callee] = field(default_factory=dict)  # who answers at which number; others as said above
    hang_up_style: HangUpStyle = HangUpStyle.STOP_THEN_CLOSE
    action_after_hang_up: bool = False  # whether Twilio does is undocumented
    max_call_s: float = 600.0
    max_documents: int = 30  # no limit is published for paid accounts; a loop must end somewhere
    linger_s: float = 20.0
    close_code: int = 1000  # of Twilio's own close frame; 1005 sends none
    allow_ws: bool = False
    fail_on_stream_query: bool = False  # False: the query is dropped silently, as reported
    wait_for_whole_frames: bool = False
    hosts: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None  # for https in connect_to
    extra_fields: tuple[tuple[str, str], ...] = (("RoutingExperiment", "b7"),)  # new fields come without notice

    def __post_init__(self) -> None:
        public = urlsplit(self.public_url)
        if public.scheme not in {"https", "http"} or not public.hostname:
            raise ValueError(f"public_url must be an origin like https://bot.example, not {self.public_url!r}")
        for address in self.addresses:
            if urlsplit(address).scheme not in {"https", "http"} or not urlsplit(address).hostname:
                raise ValueError(f"connect_to must look like http://127.0.0.1:8080, not {address!r}")
        if not self.addresses:
            raise ValueError("connect_to needs at least one address")
        if self.audible_say and not is_installed():
            raise ValueError(f"audible_say needs {PROGRAM}, which is not installed here (apt install {PROGRAM})")
        if not self.auth_token:
            raise ValueError("auth_token is empty: nothing could be signed")

    def callee(self, number: str) -> Callee:
        """Who answers at a number."""
        outcome: Outcome = "answered" if self.dial_outcome == "completed" else self.dial_outcome
        return self.parties.get(number) or Callee(outcome, ring_s=0.0, talk_s=self.dial_talk_s)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the app listens."""
        return (self.connect_to,) if isinstance(self.connect_to, str) else self.connect_to


@dataclass(frozen=True, slots=True)
class StreamSetup:
    """What a stream is made of. `number` counts the call's streams from 1; `linger_s` limits open ends."""

    url: str
    account_sid: str
    call_sid: str
    stream_sid: str
    parameters: tuple[tuple[str, str], ...]
    number: int
    faults: Sequence[Fault] = ()
    line: LineModel = field(default_factory=LineModel)
    linger_s: float = 20.0
    close_code: int = 1000
    wait_for_whole_frames: bool = False
    second: bool = False
