"""What <Record> keeps, and how Twilio's REST API writes it (its page "Recordings resource")."""

import datetime as dt
import email.utils
import io
import wave
from collections.abc import Iterable
from dataclasses import dataclass

import audioop

from callbot.simulators.twilio.playout import BYTES_PER_MS

API_ORIGIN = "https://api.twilio.com"  # as written in requests; `RestApi` answers for it


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of a caller: mu-law at 8 kHz."""

    sid: str
    account_sid: str
    call_sid: str
    audio: bytes
    created: dt.datetime

    @property
    def duration_s(self) -> int:
        """Its length in whole seconds, as Twilio tells it."""
        return round(len(self.audio) / BYTES_PER_MS / 1000)

    @property
    def url(self) -> str:
        """Where Twilio says that it is."""
        return f"{API_ORIGIN}/2010-04-01/Accounts/{self.account_sid}/Recordings/{self.sid}"

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The fields that requests about it have."""
        return (("RecordingUrl", self.url), ("RecordingSid", self.sid), ("RecordingDuration", str(self.duration_s)))

    def wav(self) -> bytes:
        """Return it as a WAV file, 8 kHz 16-bit mono."""
        file = io.BytesIO()
        with wave.open(file, "wb") as recording:
            recording.setnchannels(1)
            recording.setsampwidth(2)
            recording.setframerate(8000)
            recording.writeframes(audioop.ulaw2lin(self.audio, 2))
        return file.getvalue()

    def resource(self) -> dict[str, object]:
        """Return it with the fields of the Recording resource."""
        date = email.utils.format_datetime(self.created)
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "call_sid": self.call_sid,
            "conference_sid": None,
            "channels": 1,
            "date_created": date,
            "date_updated": date,
            "start_time": date,
            "duration": str(self.duration_s),
            "error_code": None,
            "media_url": self.url,
            "price": None,
            "price_unit": "USD",
            "source": "RecordVerb",
            "status": "completed",
            "track": "inbound",
            "api_version": "2010-04-01",
            "encryption_details": None,
            "uri": f"/2010-04-01/Accounts/{self.account_sid}/Recordings/{self.sid}.json",
            "subresource_uris": {},
        }


class Recordings:
    """All recordings of one carrier."""

    def __init__(self) -> None:
        self._kept: dict[str, Recording] = {}

    def keep(self, recording: Recording) -> None:
        """Add one."""
        self._kept[recording.sid] = recording

    def find(self, sid: str) -> Recording | None:
        """The recording of that sid."""
        return self._kept.get(sid)

    def of(self, call_sid: str = "") -> list[Recording]:
        """The recordings of one call, or all, the newest first."""
        kept: Iterable[Recording] = reversed(self._kept.values())
        return [recording for recording in kept if not call_sid or recording.call_sid == call_sid]
