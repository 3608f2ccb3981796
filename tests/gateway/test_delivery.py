"""Ranges of what is stored, whole or in part."""

from tests.apparatus import Reply, proxied

FRESH = ("Cache-Control", "s-maxage=60")


def cacheable(body: bytes = b"one", *lines: tuple[str, str]) -> Reply:
    return Reply(headers=[FRESH, *lines], body=body)


class TestRanges:
    async def test_parts_of_a_stored_response(self) -> None:
        async with proxied() as front:
            front.origin.will(cacheable(b"0123456789", ("ETag", '"v"'), ("Content-Type", "text/x")))
            await front.get()
            single = await front.get("/", ("Range", "bytes=2-4"))
            several = await front.get("/", ("Range", "bytes=0-0, -1"))
            beyond = await front.get("/", ("Range", "bytes=10-"))
            changed = await front.get("/", ("Range", "bytes=0-0"), ("If-Range", '"other"'))
        assert (single.status, single.body) == (206, b"234")
        assert single.headers["Content-Range"] == "bytes 2-4/10"
        assert several.status == 206
        assert several.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
        assert b"bytes 9-9/10\r\n\r\n9\r\n" in several.body
        assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */10")
        assert (changed.status, changed.body) == (200, b"0123456789")
        assert len(front.origin.seen) == 1

    def part(self, first: int, last: int) -> Reply:
        return Reply(
            status=206,
            headers=[FRESH, ("ETag", '"v"'), ("Content-Range", f"bytes {first}-{last}/10")],
            body=b"0123456789"[first : last + 1],
        )

    async def test_a_stored_part_answers_what_it_holds(self) -> None:
        async with proxied() as front:
            front.origin.will(self.part(2, 7), self.part(0, 1))
            await front.get("/", ("Range", "bytes=2-7"))
            inside = await front.get("/", ("Range", "bytes=3-4"))
            outside = await front.get("/", ("Range", "bytes=0-1"))
            joined = await front.get("/", ("Range", "bytes=0-7"))
        assert (inside.status, inside.body, inside.hit) == (206, b"34", True)
        assert (outside.body, outside.hit) == (b"01", False)
        assert "fwd=partial" in outside.cache_status
        assert (joined.body, joined.hit) == (b"01234567", True)

    async def test_a_stored_part_is_completed(self) -> None:
        async with proxied() as front:
            front.origin.will(self.part(0, 4), self.part(5, 9))
            await front.get("/", ("Range", "bytes=0-4"))
            whole = await front.get()
            again = await front.get()
        assert front.origin.seen[1].values("Range") == ["bytes=5-"]
        assert front.origin.seen[1].values("If-Range") == ['"v"']
        assert (whole.status, whole.body) == (200, b"0123456789")
        assert "Content-Range" not in whole.headers
        assert (again.status, again.body, again.hit) == (200, b"0123456789", True)

    async def test_a_part_that_does_not_fit_is_fetched_whole(self) -> None:
        changed = Reply(
            status=206,
            headers=[FRESH, ("ETag", '"new"'), ("Content-Range", "bytes 5-9/10")],
            body=b"56789",
        )
        async with proxied() as front:
            front.origin.will(self.part(0, 4), changed, cacheable(b"all new"))
            await front.get("/", ("Range", "bytes=0-4"))
            whole = await front.get()
        assert (whole.status, whole.body) == (200, b"all new")

    async def test_a_changed_representation_answers_whole(self) -> None:
        async with proxied() as front:
            front.origin.will(self.part(0, 4), cacheable(b"all new"))
            await front.get("/", ("Range", "bytes=0-4"))
            whole = await front.get()
            again = await front.get()
        assert (whole.status, whole.body, again.body, again.hit) == (
            200,
            b"all new",
            b"all new",
            True,
        )
