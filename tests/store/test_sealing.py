"""What is sealed can be read with its key, for its call, unchanged, and in no other way; a dump of Redis shows nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_server import RedisServer
from shelves import redis_stores, written
from test_contract import CALL, OTHER, mint, show

from callbot.messages.terms import Ending
from callbot.store.sealing import Sealer, SealError

RECORD = b"Jane Doe of +14158675310 said: my word is zebrafish; handle cf0a9e"


@given(st.binary(max_size=4096))
def test_what_is_sealed_comes_back(record: bytes) -> None:
    sealer = Sealer(["key"])
    sealed = sealer.seal(CALL, record)
    assert sealer.open(CALL, sealed) == record
    assert len(sealed) == len(record) + 29
    assert sealer.seal(CALL, record) != sealed


def test_no_byte_can_be_changed_or_left_out() -> None:
    sealer = Sealer(["key"])
    sealed = sealer.seal(CALL, RECORD)
    changed = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    shorter = [sealed[:i] for i in range(len(sealed))]
    for wrong in (*changed, *shorter, sealed + b"x", RECORD):
        with pytest.raises(SealError):
            sealer.open(CALL, wrong)


def test_another_call_or_another_key_opens_nothing() -> None:
    sealed = Sealer(["key"]).seal(CALL, RECORD)
    for sealer, call_sid in ((Sealer(["key"]), OTHER), (Sealer(["other"]), CALL)):
        with pytest.raises(SealError):
            sealer.open(call_sid, sealed)


def test_a_rotated_key_still_opens_and_no_key_is_a_mistake() -> None:
    assert Sealer(["new", "old"]).open(CALL, Sealer(["old"]).seal(CALL, RECORD)) == RECORD
    with pytest.raises(ValueError, match="secret"):
        Sealer([""])


async def test_a_dump_of_redis_shows_no_word_number_handle_or_token(server: RedisServer) -> None:
    tokens = []
    async with redis_stores(server.url, 1) as ((store,), _):
        for number in range(50):
            call_sid = f"CA{number:032x}"
            tokens.append((await mint(store, call_sid)).token)
            await show(store, tokens[-1], call_sid)
            store.save(call_sid, 1, RECORD)
            store.record_ending(call_sid, Ending.CONTINUE)
        await written(store)
    dump = b"".join(b"".join(server.ask("HGETALL", key)) for key in server.kept() if key.endswith(":call"))
    assert dump.count(b"record") == 50
    for shown in (b"Jane", b"4158675310", b"5310", b"zebrafish", b"cf0a9e", *(token.encode() for token in tokens)):
        assert shown not in dump


async def test_a_process_with_another_key_says_so_and_begins_anew(server: RedisServer) -> None:
    async with (
        redis_stores(server.url, 1) as ((store,), _),
        redis_stores(server.url, 1, state_key="another state key") as ((other,), lines),
    ):
        await show(store, (await mint(store)).token)
        store.save(CALL, 1, RECORD)
        await written(store)
        assert await other.load(CALL) is None
        assert [line["event"] for line in lines] == ["store.record_unreadable"]
        server.ask("HSET", f"callbot:{{{CALL}}}:call", "stream", "9")
        assert (await other.lease(CALL, 10)).held
