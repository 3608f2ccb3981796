"""The last purges, and who has applied them."""

from proxy.purging import MemoryPurgeLog, Mode, Node, RecentPurges


async def test_the_latest_come_first_without_most_of_what_they_name() -> None:
    log = MemoryPurgeLog(lambda: 7.0)
    recent = RecentPurges(log)
    await log.append([f"tag:{n}" for n in range(5)], Mode.HARD)
    await log.append(["*"], Mode.SOFT, "a+")
    first, second = (noted for noted, _, _ in recent.last(5))
    assert (first.seq, first.at, first.soft) == (2, 7.0, True)
    assert (first.named, first.names) == (("pattern:a+", "*"), 2)
    assert (second.named, second.names) == (("tag:0", "tag:1", "tag:2"), 5)
    assert len(recent.last(1)) == 1


async def test_who_has_applied_them_is_seen_as_of_now() -> None:
    log = MemoryPurgeLog(lambda: 7.0)
    recent = RecentPurges(log)
    for _ in range(2):
        await log.append(["*"], Mode.HARD)
    ahead, behind = Node("a", 2, 0.1), Node("b", 1, 0.1)
    log.nodes = (ahead, behind)
    (_, acked, pending), (_, all_acked, none) = recent.last(2)
    assert (list(acked), list(pending)) == ([ahead], [behind])
    assert (list(all_acked), list(none)) == ([ahead, behind], [])


async def test_only_so_many_are_kept_and_counts_find_theirs() -> None:
    log = MemoryPurgeLog(lambda: 7.0)
    recent = RecentPurges(log)
    for _ in range(60):
        await log.append(["*"], Mode.HARD)
    assert len(recent.last(100)) == 50
    recent.counted(60, 12)
    recent.counted(1, 12)
    assert [noted.entries for noted, _, _ in recent.last(2)] == [12, None]
