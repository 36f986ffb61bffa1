"""Coverage-guided fuzzing of everything that strangers can send: the wire decoders and the webhook.

`python -m fuzz.fuzz_wire --seconds 600` (and `fuzz.fuzz_webhook`) needs `atheris`; what was found worth keeping is in
`tests/corpus` and is replayed by the tests without it.
"""
