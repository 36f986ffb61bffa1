"""The actors of a call: `CallActor` and its children."""
