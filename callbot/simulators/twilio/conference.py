"""<Conference>: rooms in which calls of one carrier hear each other. Audio is mu-law, 160 bytes per frame."""

import asyncio
import random
from functools import reduce

import audioop

from callbot.simulators.twilio.call_requests import new_sid
from callbot.simulators.twilio.playout import SILENCE


class Seat:
    """One call in a room: what it says goes to the others, what they say comes back. `over` is set at its end."""

    def __init__(self, room: "Room", call_sid: str, *, starts: bool, ends: bool) -> None:
        self.call_sid = call_sid
        self.starts = starts
        self.ends = ends
        self.over = asyncio.Event()
        self.voice = SILENCE
        self._room = room

    def beat(self, voice: bytes, _at_s: float) -> bytes:
        """Take this call's frame and return the mix of the others'; see `handset.Listener`."""
        self.voice = voice
        return self._room.heard_by(self)


class Room:
    """One conference. It runs once somebody is in it who starts it."""

    def __init__(self, name: str, sid: str) -> None:
        self.name = name
        self.sid = sid
        self.seats: list[Seat] = []
        self.is_running = False
        self.has_just_started = False

    def join(self, call_sid: str, *, starts: bool, ends: bool) -> Seat:
        """Take a call in."""
        seat = Seat(self, call_sid, starts=starts, ends=ends)
        self.seats.append(seat)
        was_running = self.is_running
        self.is_running = was_running or (len(self.seats) > 1 and any(other.starts for other in self.seats))
        self.has_just_started = self.is_running and not was_running
        return seat

    def leave(self, seat: Seat) -> bool:
        """Let a call go; True when that has ended the conference."""
        self.seats.remove(seat)
        if seat.ends:
            for other in self.seats:
                other.over.set()
        ended = self.is_running and (seat.ends or not self.seats)
        self.is_running = self.is_running and not ended
        return ended

    def heard_by(self, seat: Seat) -> bytes:
        """Return the mix of all other calls' present frames."""
        others = [audioop.ulaw2lin(other.voice, 2) for other in self.seats if other is not seat]
        if not (self.is_running and others):
            return SILENCE
        return audioop.lin2ulaw(reduce(lambda a, b: audioop.add(a, b, 2), others), 2)


class Conferences:
    """The rooms of one carrier, by name."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    def room(self, name: str, rng: random.Random) -> Room:
        """Return the room of that name; a new one when it is empty."""
        room = self._rooms.get(name)
        if room is None or not room.seats:
            room = self._rooms[name] = Room(name, new_sid("CF", rng))
        return room
