"""Plain frames against the two libraries that own the connections: whatever is taken, is what they would have made of it."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.frame_protocol import ParseFailed
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from callbot.wire import websocket
from callbot.wire.websocket import (
    MOST_PARTS,
    TOO_BIG,
    UNSUPPORTED,
    PlainFrames,
    close_code_for,
    close_frame,
    masked_text_frame,
    pong_frame,
    text_frame,
)

LARGEST = 2**20
# Around the places where the length takes another form, and the size of calls' messages.
SIZES = st.sampled_from([0, 1, 125, 126, 250, 2600, 65_535, 65_536])
DATA = st.builds(
    lambda opcode, size, letter: Frame(opcode, letter.encode() * size),
    st.sampled_from([Opcode.TEXT, Opcode.BINARY]),
    SIZES,
    st.sampled_from("aéz"),
)
CONTROL = st.builds(Frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))
FRAMES = st.lists(DATA | CONTROL, max_size=6)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    """A stream as a transport may bring it."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:stop] for start, stop in itertools.pairwise(places)]


CUTS = st.lists(st.integers(0, 200_000), max_size=8)


@given(FRAMES, CUTS, st.booleans())
def test_plain_frames_are_taken_whole_and_in_order_however_they_are_cut(
    frames: list[Frame], cuts: list[int], masked: bool
) -> None:
    wire = [frame.serialize(mask=masked) for frame in frames]
    reader = PlainFrames(masked=masked, decode=False, largest=LARGEST)
    taken = [frame for piece in pieces(b"".join(wire), cuts) for frame in reader.feed(piece)]
    assert taken == [
        (frame.opcode, whole if frame.opcode in {Opcode.PING, Opcode.PONG} else frame.data)
        for frame, whole in zip(frames, wire, strict=True)
    ]
    assert not reader.stopped
    assert reader.rest == b""


@given(FRAMES, CUTS, st.integers(1, 3))
def test_a_few_at_a_time_they_are_the_same_frames(frames: list[Frame], cuts: list[int], most: int) -> None:
    stream = b"".join(frame.serialize(mask=True) for frame in frames)
    at_once = PlainFrames(masked=True, decode=False, largest=LARGEST).feed(stream)
    reader, taken = PlainFrames(masked=True, decode=False, largest=LARGEST), list[tuple[int, str | bytes]]()
    for piece in pieces(stream, cuts):
        chunk = piece
        while True:
            few = reader.feed(chunk, most)
            assert sum(opcode <= websocket.BINARY for opcode, _ in few) <= most
            taken += few
            chunk = b""
            if not reader.has_more:
                break
    assert taken == at_once
    assert reader.rest == b""


@given(FRAMES, CUTS)
def test_skipping_leaves_nothing_and_counts_messages(frames: list[Frame], cuts: list[int]) -> None:
    reader = PlainFrames(masked=True, decode=True, largest=LARGEST)
    reader.skips = True
    stream = b"".join(frame.serialize(mask=True) for frame in frames)
    assert [frame for piece in pieces(stream, cuts) for frame in reader.feed(piece)] == []
    assert reader.skipped == sum(frame.opcode not in {Opcode.PING, Opcode.PONG} for frame in frames)
    assert (reader.stopped, reader.rest) == (False, b"")


UNUSUAL = {
    "the first part of a message": Frame(Opcode.TEXT, b"half", fin=False).serialize(mask=True),
    "another part": Frame(Opcode.CONT, b"half").serialize(mask=True),
    "an extension's bit": b"\xc1\x81\x00\x00\x00\x00x",
    "an opcode that means nothing": b"\x83\x80\x00\x00\x00\x00",
    "a control frame in parts": b"\x09\x81\x00\x00\x00\x00x",
    "a control frame that is too long": b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + bytes(126),
    "no mask": b"\x81\x05hello",
    "a short length in the long form": b"\x81\xfe\x00\x05\x00\x00\x00\x00hello",
    "a short length in the longest form": b"\x81\xff" + (300).to_bytes(8) + bytes(4) + bytes(300),
    "more than a plain message has": b"\x81\xff" + (LARGEST + 1).to_bytes(8) + bytes(4),
    "a length that is none": b"\x82\xff" + b"\xff" * 8 + bytes(4),
    "text that is none": Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True),
}


@pytest.mark.parametrize("unusual", UNUSUAL.values(), ids=UNUSUAL.keys())
@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_at_anything_else_nothing_more_is_taken_and_not_a_byte_is_lost(unusual: bytes, piece: int) -> None:
    before = Frame(Opcode.TEXT, b"before").serialize(mask=True)
    stream = before + unusual + Frame(Opcode.TEXT, b"after").serialize(mask=True)
    reader = PlainFrames(masked=True, decode=True, largest=LARGEST)
    taken = [frame for at in range(0, len(stream), piece) for frame in reader.feed(stream[at : at + piece])]
    assert taken == [(websocket.TEXT, "before")]
    assert reader.stopped
    assert before + reader.rest == stream


def test_a_close_is_handed_on_and_is_the_last() -> None:
    close = Frame(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=True)
    late = Frame(Opcode.TEXT, b"late").serialize(mask=True)
    reader = PlainFrames(masked=True, decode=True, largest=LARGEST)
    assert reader.feed(close + late) == [(websocket.CLOSE, close)]
    assert reader.feed(b"more") == []
    assert (reader.stopped, reader.rest) == (True, late + b"more")


class Judge:
    """wsproto as Hypercorn uses it: what it makes of a client's bytes, and how it ends."""

    def __init__(self) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._half: str | bytes | None = None
        self.told: list[Any] = []

    def feed(self, stream: bytes) -> None:
        try:
            self._connection.receive_data(stream)
            for event in self._connection.events():
                self._note(event)
        except (ParseFailed, LocalProtocolError) as error:
            self.told.append(type(error))

    def _note(self, event: object) -> None:
        match event:
            case Message():
                self._half = event.data if self._half is None else self._half + event.data
                if event.message_finished:
                    self.told.append(bytes(self._half) if isinstance(self._half, bytes | bytearray) else self._half)
                    self._half = None
            case Ping() | Pong():
                self.told.append((type(event), bytes(event.payload)))
            case CloseConnection():
                self.told.append((CloseConnection, event.code))


@given(FRAMES, CUTS, st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3))
def test_with_any_byte_wrong_the_library_and_we_together_hear_what_it_hears_alone(
    frames: list[Frame], cuts: list[int], faults: list[tuple[int, int]]
) -> None:
    stream = bytearray(b"".join(frame.serialize(mask=True) for frame in frames))
    for place, value in faults:
        if stream:
            stream[place % len(stream)] = value
    alone = Judge()
    alone.feed(bytes(stream))

    together = Judge()
    reader = PlainFrames(masked=True, decode=True, largest=LARGEST)
    for piece in pieces(bytes(stream), cuts):
        for opcode, payload in reader.feed(piece):
            if opcode <= websocket.BINARY:
                together.told.append(payload)
            else:
                assert isinstance(payload, bytes)
                together.feed(payload)
    if reader.rest:  # as at the end of the connection: the library may find fault with half a frame
        together.feed(reader.rest)
    assert together.told == alone.told


@given(st.text(max_size=400) | st.builds(str.__mul__, st.sampled_from("xé"), SIZES))
def test_what_is_sent_is_one_text_message_to_both_libraries(text: str) -> None:
    client = ClientProtocol(parse_uri("ws://x"), state=State.OPEN, max_size=None)
    client.receive_data(text_frame(text.encode()))
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.fin, bytes(frame.data).decode()) == (Opcode.TEXT, True, text)

    server = Connection(ConnectionType.SERVER)
    server.receive_data(masked_text_frame(text.encode()))
    heard = list(server.events())
    assert all(isinstance(event, TextMessage) and not isinstance(event, BytesMessage) for event in heard)
    assert "".join(event.data for event in heard if isinstance(event, TextMessage)) == text


@given(st.binary(max_size=125))
def test_a_pong_is_read_by_both_libraries_with_what_stood_in_the_ping(payload: bytes) -> None:
    pong = pong_frame(Frame(Opcode.PING, payload).serialize(mask=True))
    peer = Connection(ConnectionType.CLIENT)
    peer.receive_data(pong)
    (event,) = list(peer.events())
    assert isinstance(event, Pong)
    assert event.payload == payload
    assert pong == Frame(Opcode.PONG, payload).serialize(mask=False)


def test_masks_are_not_repeated() -> None:
    masks = {masked_text_frame(b"x" * 200)[4:8] for _ in range(50)}
    assert len(masks) > 45


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=20, max_size=20) | st.just(b"x" * 300),
)
def test_what_is_closed_at_once_is_what_the_library_would_not_take(first: int, second: int, length: int, rest: bytes) -> None:
    """Nothing that wsproto would read is closed for, but a message in parts, which has a code of its own."""
    wide = {126: length.to_bytes(8)[:2], 127: length.to_bytes(8)}.get(second & 0x7F, b"")
    stream = bytes((first, second)) + wide + bytes(4) + rest
    reader = PlainFrames(masked=True, decode=True, largest=2**16)
    taken = reader.feed(stream)
    if taken or not reader.stopped:
        return
    code = close_code_for(reader.rest, 2**16)
    judge = Connection(ConnectionType.SERVER)
    judge.receive_data(stream)
    try:
        refused = [event.code for event in judge.events() if isinstance(event, CloseConnection)]
    except (LocalProtocolError, ParseFailed, RemoteProtocolError) as fault:
        refused = [getattr(getattr(fault, "event_hint", None), "code", 1002)]
    if code in {UNSUPPORTED, TOO_BIG}:
        assert first & 0x80 == 0 or first & 0xF == 0 or code == TOO_BIG  # a message in parts, or one that is too large
    else:
        assert refused
        assert code in {1002, 1007}


def test_a_close_is_read_by_both_libraries_with_its_code_and_reason() -> None:
    for reason in ("", "token_used", "x" * 200):
        frame = close_frame(1008, reason)
        peer = Connection(ConnectionType.CLIENT)
        peer.receive_data(frame)
        (event,) = list(peer.events())
        assert isinstance(event, CloseConnection)
        assert (event.code, event.reason or "") == (1008, reason[:123])


def fragment(payload: bytes, *, first: bool = False, last: bool = False) -> bytes:
    return Frame(Opcode.TEXT if first else Opcode.CONT, payload, fin=last).serialize(mask=True)


def joining() -> PlainFrames:
    return PlainFrames(masked=True, decode=True, largest=2**16, joins=True)


@pytest.mark.parametrize("cut", [1, 5, 9, 14])
def test_a_message_in_parts_is_one_message_where_it_is_wanted(cut: int) -> None:
    wire = fragment("sch\u00f6n".encode()[:4], first=True) + fragment("sch\u00f6n".encode()[4:], last=True)
    frames = joining()
    assert frames.feed(wire[:cut]) + frames.feed(wire[cut:]) == [(websocket.TEXT, "sch\u00f6n")]
    assert not frames.is_in_parts


def test_a_ping_between_the_parts_is_answered_in_its_place() -> None:
    ping = Frame(Opcode.PING, b"x").serialize(mask=True)
    frames = joining().feed(fragment(b"a", first=True) + ping + fragment(b"b", last=True))
    assert frames == [(websocket.PING, ping), (websocket.TEXT, "ab")]


@pytest.mark.parametrize("case", ["no beginning", "two beginnings", "a whole one between", "too many"])
def test_parts_out_of_place_or_too_many_are_not_plain(case: str) -> None:
    begin = fragment(b"a", first=True)
    wire = {
        "no beginning": fragment(b"x", last=True),
        "two beginnings": begin + fragment(b"b", first=True),
        "a whole one between": begin + Frame(Opcode.TEXT, b"whole").serialize(mask=True),
        "too many": begin + fragment(b"b") * MOST_PARTS,
    }[case]
    frames = joining()
    assert frames.feed(wire) == []
    assert frames.stopped
