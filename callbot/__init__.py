"""callbot: the phone line to a realtime speech model.

A Twilio number posts to `/twiml`, opens a Media Stream to `/ws/twilio`, and the caller talks with Gemini Live. The rooms
and the way imports go between them are in `docs/design.md`.
"""

__version__ = "0.1.0"
