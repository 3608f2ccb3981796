"""`warmfront entries` and `warmfront tags`."""

from typing import Any

from tests.cli.warmfront import warmfront
from tests.client.fake_admin import FakeAdmin, Reply

URL = "http://api.example/products?sort=[price]"
ENTRY: dict[str, Any] = {
    "url": URL,
    "status": 200,
    "headers": [["Content-Type", "application/json"], ["ETag", '"[b]1"']],
    "vary": [["accept-language", "fr"], ["accept-encoding", None]],
    "age": 12.4,
    "ttl": 47.6,
    "tags": ["products", "[red]"],
    "groups": ["shop"],
    "size": 2048,
    "tier": "memory",
    "hits": 5,
    "born": 7,
}


class TestEntries:
    def test_all_that_is_known(self, admin: FakeAdmin) -> None:
        admin.will(Reply({"url": URL, "entries": [ENTRY]}))
        code, out, err = warmfront("entries", URL, "--headers", "--admin", admin.url)
        assert (code, err) == (0, "")
        assert out == (
            f"{URL}\n"
            "  200, 12s old, fresh for 48s, 2.0 kB in memory, 5 hits\n"
            "  for requests with accept-language: fr\n"
            "  for requests without accept-encoding\n"
            "  tags products [red]\n"
            "  groups shop\n"
            "  Content-Type: application/json\n"
            '  ETag: "[b]1"\n'
        )

    def test_less(self, admin: FakeAdmin) -> None:
        bare: dict[str, Any] = {
            "vary": [],
            "tags": [],
            "groups": [],
            "hits": None,
            "ttl": -1.0,
            "tier": "redis",
        }
        admin.will(Reply({"url": URL, "entries": [ENTRY | bare]}))
        _, out, _ = warmfront("entries", URL, "--admin", admin.url)
        assert out == f"{URL}\n  200, 12s old, stale for 1s, 2.0 kB in redis\n"

    def test_none(self, admin: FakeAdmin) -> None:
        admin.will(Reply({"url": URL, "entries": []}))
        told = warmfront("entries", URL, "--admin", admin.url)
        assert told == (0, f"nothing is stored for {URL}\n", "")


class TestTags:
    def test_list(self, admin: FakeAdmin) -> None:
        counts = [{"tag": "[a]", "entries": 12}, {"tag": "b", "entries": None}]
        admin.will(Reply({"tags": counts, "complete": False}))
        code, out, _ = warmfront("tags", "--prefix", "x", "--limit", "2", "--admin", admin.url)
        assert code == 0
        assert [line.split() for line in out.splitlines()] == [
            ["tag", "entries"],
            ["[a]", "12"],
            ["b", "?"],
            ["..."],
        ]
        assert admin.asked[0].target == "/tags?prefix=x&limit=2"

    def test_none(self, admin: FakeAdmin) -> None:
        admin.will(Reply({"tags": [], "complete": True}))
        assert warmfront("tags", "--admin", admin.url) == (0, "no tags\n", "")

    def test_one(self, admin: FakeAdmin) -> None:
        found = {"tag": "a", "entries": 2, "urls": ["http://a/1", "http://a/2"], "complete": True}
        admin.will(Reply(found))
        told = warmfront("tags", "a", "--admin", admin.url)
        assert told == (0, "2 entries\nhttp://a/1\nhttp://a/2\n", "")
        assert admin.asked[0].target == "/tags/a?limit=100"
