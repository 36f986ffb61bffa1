"""What outlives a stream: one-time tokens and how the last stream of a call ended."""
