"""The scripts inside a real server, and their likeness in `simulated`, give the same answers."""

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.purging import scripts
from proxy.redis_link import Script
from tests.purging.simulated import SimulatedRedis
from tests.redis_server import RedisServer, start_redis

KEYS = [f"wf:{{purge}}:{key}" for key in scripts.KEYS]
BEYOND = 3_000_000_000_000_000
"""More than any clock says, so that both begin with the same number."""

SCOPES = ["*", "tag:a", "tag:b", "url:http://h/ü", "prefix:/a/"]


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with start_redis() as running:
        yield running


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Any]:
    async with server.client() as client:
        yield client


@pytest.fixture
async def flagged(client: Any) -> int:
    """Which variant of a script this server takes: since Redis 7, the one with flags."""
    version = (await client.info("server"))["redis_version"]
    return 0 if int(version.partition(".")[0]) >= 7 else 1


def plain(reply: Any) -> Any:
    """A reply with bytes as text and all times alike."""
    if isinstance(reply, list):
        return [plain(each) for each in reply]
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    return "a time" if "." in text else text


class Both:
    """Runs each step in both worlds."""

    def __init__(self, client: Any, variant: int) -> None:
        self.client = client
        self.variant = variant
        self.simulated = SimulatedRedis(lambda: 0.5)

    async def run(self, script: tuple[Script, Script], *words: Any) -> Any:
        real = await script[self.variant].run(self.client, KEYS, words)
        likeness = self.simulated.evaluate(("EVALSHA", script[0].digest, len(KEYS), *KEYS, *words))
        assert plain(real) == plain(likeness), words
        return plain(real)


@pytest.mark.parametrize("seed", range(4))
async def test_real_and_simulated_are_alike(client: Any, flagged: int, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    both = Both(client, flagged if seed % 2 else 1)
    log_id, seq, *_ = await both.run(scripts.SYNC, "", BEYOND, "id-0", "p", 1, 0, 100)
    assert (log_id, int(seq)) == ("id-0", BEYOND + 1)
    newest = BEYOND + 1
    for step in range(250):
        seen = newest - dice.choice((0, 0, 1, 3, -1 if dice.random() < 0.05 else 2))
        fresh_id = f"id-{step}"
        match dice.choice(
            ("sync", "append", "append", "judge", "judge", "status", "leave", "harm")
        ):
            case "sync":
                who = (dice.choice((log_id, log_id, "")), seen, fresh_id, f"p{step % 3}", step)
                reply = await both.run(scripts.SYNC, *who, dice.randint(0, 1), 100)
                log_id, newest = reply[0], int(reply[1])
            case "append":
                scopes = dice.sample(SCOPES, dice.randint(0, 3))
                mode = dice.choice(("hard", "soft"))
                pattern = dice.choice(("", "", "a b", "ü+"))
                limits = (3, 2, 1000)
                words = (min(seen, newest), fresh_id, mode, pattern, *limits, json.dumps(scopes))
                reply = await both.run(scripts.APPEND, *words, *scopes)
                log_id, newest = reply[0], int(reply[1])
            case "judge":
                born = newest - dice.randint(-1, 8)
                scopes = dice.sample(SCOPES, dice.randint(1, 4))
                await both.run(scripts.JUDGE, log_id, seen, born, *scopes)
            case "status":
                record = both.simulated.data.nodes.get("p1", "none")
                reply = await both.run(scripts.STATUS, fresh_id, "p1", record)
                log_id, newest = reply[0], int(reply[1])
            case "leave":
                await both.run(scripts.LEAVE, f"p{step % 3}")
            case "harm" if dice.random() < 0.1:
                key = dice.choice(("hard", "soft", "nodes", "patterns"))
                await client.delete(f"wf:{{purge}}:{key}")
                getattr(both.simulated.data, key).clear()


async def test_every_key_lives_in_one_slot(client: Any, flagged: int) -> None:
    both = Both(client, flagged)
    await both.run(scripts.SYNC, "", BEYOND, "id", "p", 1, 0, 100)
    words = (BEYOND + 1, "id", "soft", "a", 9, 9, 9, '["*", "tag:b"]', "*", "tag:b")
    await both.run(scripts.APPEND, *words)
    await both.run(scripts.SYNC, "id", BEYOND + 2, "id", "p", 2, 1, 100)
    names = {key.decode() for key in await client.keys("*")}
    assert names == set(KEYS) - {"wf:{purge}:hard"}
    assert all([await client.ttl(name) == -1 for name in names])


async def test_what_is_kept_is_bounded(client: Any, flagged: int) -> None:
    seen = BEYOND
    for number in range(3000):
        words = (seen, "id", "hard" if number % 2 else "soft", f"p{number}", 50, 10, 100, "[]")
        reply = await scripts.APPEND[flagged].run(client, KEYS, (*words, f"tag:{number}"))
        seen = int(reply[1])
    assert await client.zcard("wf:{purge}:hard") == 50
    assert await client.zcard("wf:{purge}:soft") == 50
    assert await client.zcard("wf:{purge}:patterns") == 10
    assert await client.hlen("wf:{purge}:times") <= 60
    assert await client.xlen("wf:{purge}:log") < 300
    assert int(await client.hget("wf:{purge}:head", "floor")) == seen - 10


async def test_a_full_server_takes_purges(client: Any, flagged: int) -> None:
    if flagged:
        pytest.skip("only Redis 7 and later lets a script in when it is full")
    await client.set("filler", b"x" * 3_000_000)
    await client.config_set("maxmemory", "2mb")
    words = (BEYOND, "id", "hard", "", 9, 9, 9, '["*"]', "*")
    assert plain(await scripts.APPEND[0].run(client, KEYS, words))[1] == str(BEYOND + 2)


async def test_judging_writes_nothing(client: Any, flagged: int) -> None:
    """So a server that refuses writes can still be asked."""
    await scripts.SYNC[flagged].run(client, KEYS, ("", BEYOND, "id", "p", 1, 0, 100))
    before = int((await client.info("persistence"))["rdb_changes_since_last_save"])
    await scripts.JUDGE[flagged].run(client, KEYS, ("id", BEYOND + 1, BEYOND + 1, "*"))
    await scripts.JUDGE[flagged].run(client, KEYS, ("lost", BEYOND + 9, BEYOND + 1, "*"))
    assert int((await client.info("persistence"))["rdb_changes_since_last_save"]) == before
