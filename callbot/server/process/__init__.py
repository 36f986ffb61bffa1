"""The process around the app: its start, its signals, its workers, and how it stops."""
