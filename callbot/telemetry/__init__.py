"""Logs, metrics, and the story of a call."""
