"""A cluster's commands: to the node of the key, wherever that moves, whatever else is broken."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import pytest
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError
from redis.exceptions import ConnectionError as Unreachable

from proxy.redis_link import Access, LinkState, RedisLink, Script, connect
from proxy.redis_link.client import node_name
from proxy.redis_link.cluster import Address, ClusterClient
from tests.redis_server import Cluster, eventually, patient, start_cluster

ONE, TWO = ("one", 1), ("two", 2)
SLOT_OF_K = 7629


class FakeNode:
    """Answers from a script; a missing answer is its own name."""

    def __init__(self, address: Address, answers: list[Any], seen: list[Any]) -> None:
        self.address = address
        self._answers = answers
        self._seen = seen

    async def execute_command(self, *words: Any, **_options: Any) -> Any:
        if words[:2] == ("CLUSTER", "SLOTS"):
            return [[0, 8000, [b"one", 1, b"id"]], [8001, 16383, [b"two", 2, b"id"], [b"x", 3]]]
        self._seen.append((self.address, *words))
        answer = self._answers.pop(0) if self._answers else self.address[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pipeline(self, *, transaction: bool) -> Any:
        assert not transaction
        return FakePipeline(self)

    async def aclose(self) -> None:
        pass


class FakePipeline:
    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def execute_command(self, *words: Any, **_options: Any) -> None:
        self._commands.append(words)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002
        replies = []
        for words in self._commands:
            try:
                replies.append(await self._node.execute_command(*words))
            except ResponseError as error:
                if raise_on_error:
                    raise
                replies.append(error)
        return replies


def scripted(answers: dict[Address, list[Any]], seen: list[Any]) -> ClusterClient:
    make: Callable[[Address], FakeNode] = lambda at: FakeNode(at, answers.get(at, []), seen)  # noqa: E731
    return ClusterClient([ONE], make)


@pytest.mark.parametrize(
    "words",
    [
        ("GET", "k"),
        ("MGET", "k", "k"),
        ("EVALSHA", "digest", 1, "k", "word"),
        ("XREAD", "BLOCK", 10, "STREAMS", "k", "0"),
        ("SET", b"k", b"\xff"),
    ],
    ids=lambda words: words[0],
)
async def test_the_key_says_which_node(words: tuple[Any, ...]) -> None:
    seen: list[Any] = []
    client = scripted({}, seen)
    assert await client.execute_command(*words) == "one"
    assert client.node_of("k") == "one:1"
    await client.aclose()


async def test_a_moved_slot_is_followed_and_remembered() -> None:
    seen: list[Any] = []
    client = scripted({ONE: [MovedError(f"{SLOT_OF_K} two:2")]}, seen)
    assert await client.execute_command("GET", "k") == "two"
    assert seen == [(ONE, "GET", "k"), (TWO, "GET", "k")]
    await client.aclose()


async def test_a_slot_that_is_moving_is_asked_for_once() -> None:
    seen: list[Any] = []
    client = scripted({ONE: [AskError(f"{SLOT_OF_K} two:2")]}, seen)
    assert await client.execute_command("GET", "k") == "two"
    assert await client.execute_command("GET", "k") == "one"
    assert seen[1:3] == [(TWO, "ASKING"), (TWO, "GET", "k")]
    await client.aclose()


async def test_a_slot_that_moves_in_circles_ends() -> None:
    moves = [MovedError(f"{SLOT_OF_K} one:1") for _ in range(9)]
    client = scripted({ONE: [*moves]}, [])
    with pytest.raises(ClusterDownError, match="circles"):
        await client.execute_command("GET", "k")
    await client.aclose()


BOTH = (("GET", "k"), ("GET", "{k}2"))


@pytest.mark.parametrize(
    ("answers", "replies", "asked"),
    [
        pytest.param({}, ["one", "one"], [ONE, ONE], id="both there"),
        pytest.param(
            {ONE: [MovedError(f"{SLOT_OF_K} two:2"), MovedError(f"{SLOT_OF_K} two:2")]},
            ["one", "one"],
            [ONE, ONE, ONE, ONE],
            id="moved, and back again",
        ),
        pytest.param(
            {ONE: ["one", *(MovedError(f"{SLOT_OF_K} two:2") for _ in range(2))]},
            ["one", "two"],
            [ONE, ONE, ONE, TWO],
            id="one moved",
        ),
        pytest.param(
            {ONE: ["one", *(AskError(f"{SLOT_OF_K} two:2") for _ in range(2))]},
            ["one", "two"],
            [ONE, ONE, ONE, TWO, TWO],
            id="one is moving",
        ),
    ],
)
async def test_what_goes_together_is_followed_one_by_one(
    answers: dict[Address, list[Any]], replies: list[str], asked: list[Address]
) -> None:
    seen: list[Any] = []
    client = scripted(answers, seen)
    assert await client.execute_together(BOTH) == replies
    assert [address for address, *_ in seen] == asked
    await client.aclose()


async def test_what_goes_together_and_is_refused_is_told_of_one_by_one() -> None:
    client = scripted({ONE: [ResponseError("WRONGTYPE"), "one"]}, [])
    refused, found = await client.execute_together(BOTH)
    assert isinstance(refused, ResponseError)
    assert found == "one"
    await client.aclose()


@pytest.mark.parametrize("error", [Unreachable("away"), ClusterDownError("down")])
async def test_what_goes_together_fails_together(error: Exception) -> None:
    client = scripted({ONE: [error, error, error, error]}, [])
    with pytest.raises(type(error)):
        await client.execute_together(BOTH)
    await client.aclose()


async def test_scripts_and_many_keys_reach_all_nodes() -> None:
    script = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    async with start_cluster() as cluster:
        link = RedisLink(patient(cluster.url), lambda _: None)
        names = [f"n:{number}" for number in range(50)]
        results = await asyncio.gather(
            *(link.run(lambda c, n=name: script.run(c, (n,), (5,)), key=name) for name in names)  # type: ignore[misc]
        )
        assert results == [5] * 50
        together = link.together(names)
        assert sorted(position for group in together for position in group) == list(range(50))
        assert len(together) > 3
        assert link.counts.failures == 0
        await _a_real_move(cluster)
        await link.close()


async def _a_real_move(cluster: Cluster) -> None:
    """Slot by slot, as operators do it: no command fails before, while or after it moves."""
    client = connect(patient(cluster.url))
    await client.execute_command("SET", "k", "before")
    source, target = cluster.nodes[1], cluster.nodes[2]
    async with (
        source.client(decode_responses=True) as at_source,
        target.client(decode_responses=True) as at_target,
    ):
        source_id = await at_source.execute_command("CLUSTER", "MYID")
        target_id = await at_target.execute_command("CLUSTER", "MYID")
        slot = ("CLUSTER", "SETSLOT", SLOT_OF_K)
        await at_target.execute_command(*slot, "IMPORTING", source_id)
        await at_source.execute_command(*slot, "MIGRATING", target_id)
        where = ("127.0.0.1", target.port, "k", 0, 1000)
        await at_source.execute_command("MIGRATE", *where)
        assert await client.execute_command("GET", "k") == b"before"
        for node in (at_target, at_source):
            await node.execute_command(*slot, "NODE", target_id)
        assert await client.execute_command("GET", "k") == b"before"

    async def learnt() -> bool:
        return node_name(client, "k") == f"127.0.0.1:{target.port}"

    await eventually(learnt, "the move was not noticed")
    await client.aclose()


async def test_closed_while_others_are_still_asked_for_slots_it_leaves_none_of_them_open() -> None:
    """The first answer counts; those who are asked in vain have just begun to close."""
    opened: list[SlowToClose] = []

    def make(address: Address) -> SlowToClose:
        opened.append(SlowToClose(address, [], []))
        return opened[-1]

    client = ClusterClient((ONE, TWO, ("three", 3)), make)
    await client.execute_command("GET", "k")
    assert any(node.closing and not node.closed for node in opened)
    await client.aclose()
    assert all(node.closed for node in opened)


class SlowToClose(FakeNode):
    """Takes a while, as a connection does."""

    closing = closed = False

    async def aclose(self) -> None:
        self.closing = True
        await asyncio.sleep(0.01 if self.address == ONE else 0.1)
        self.closed = True


async def test_one_dead_node_is_told_and_stops_no_other() -> None:
    async with start_cluster() as cluster:
        link = RedisLink(patient(cluster.url), lambda _: None)
        names = [f"n:{number}" for number in range(60)]

        async def write(name: str) -> bool:
            try:
                await link.run(
                    lambda c: c.execute_command("SET", name, 1), key=name, access=Access.WRITE
                )
            except Exception:  # noqa: BLE001 - any is one too many
                return False
            return True

        assert all([await write(name) for name in names])
        cluster.nodes[0].kill()
        outcomes = [await write(name) for name in names * 3]
        assert 0.5 < sum(outcomes) / len(outcomes) < 0.9
        assert link.state is LinkState.DOWN
        before = link.counts.failures
        for name in names:
            await write(name)
        assert link.counts.failures == before, "nobody asks the dead node any more"
        await cluster.nodes[0].start()

        async def up() -> bool:
            return link.state is LinkState.UP

        await eventually(up, "the node was not found again")
        assert all([await write(name) for name in names])
        await link.close()
