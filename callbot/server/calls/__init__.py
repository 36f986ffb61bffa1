"""Calls as the server sees them: who may have one, which there are, and the WebSocket route that carries each."""
