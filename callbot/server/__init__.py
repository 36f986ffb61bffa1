"""The HTTP and WebSocket server: who may come in, what Twilio is told, and how the process starts and stops."""
