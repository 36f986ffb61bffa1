"""The target of a request as it came: what Twilio has signed."""


def raw_target(path: bytes, query: bytes) -> tuple[str, str]:
    """The path and query as they came, undecoded."""
    return path.decode("latin-1"), query.decode("latin-1")
