"""Both clients against an admin API on a real socket: one suite, since they are to be one."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from proxy.client import (
    AsyncPurgeClient,
    Entry,
    Fault,
    LogUnreachable,
    Preview,
    Problem,
    PurgeClient,
    PurgeError,
    PurgeResult,
    Refused,
    Reloaded,
    SettingChange,
    TagCount,
    TagPage,
    Unauthorized,
    Unexpected,
    Unreachable,
    WarmFailure,
    WarmJob,
    wire,
)
from tests.client.fake_admin import PURGED, Cut, FakeAdmin, Raw, Reply, Silence, fake_admin, problem

TOKEN = "a-token-of-some-length"  # noqa: S105 - of these tests
FAULT = {"where": "tags[0]", "what": "empty", "how": "remove it"}
JOB: dict[str, Any] = {
    "id": "j/1",
    "state": "running",
    "total": 4,
    "done": 3,
    "hit": 1,
    "stored": 1,
    "not_stored": 0,
    "failed": 1,
    "seconds": 0.1,
    "failures": [{"url": "http://a/", "status": 404, "what": "not found"}],
    "refused": [FAULT],
}

Ask = Callable[..., Any]
"""Call a method of a client by its name."""
Connect = Callable[..., Ask]


@pytest.fixture
def admin() -> Iterator[FakeAdmin]:
    with fake_admin() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "FIRST_PAUSE", 0.001)
    monkeypatch.delenv("WARMFRONT_ADMIN_TOKEN", raising=False)


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """A client of either kind; closed when the test ends."""
    with ExitStack() as stack:

        def blocking(*arguments: Any, **options: Any) -> Ask:
            client = stack.enter_context(PurgeClient(*arguments, **options))
            return lambda name, *args, **named: getattr(client, name)(*args, **named)

        def looping(*arguments: Any, **options: Any) -> Ask:
            runner = stack.enter_context(asyncio.Runner())
            client = AsyncPurgeClient(*arguments, **options)
            stack.callback(lambda: runner.run(client.close()))

            async def ask(name: str, *args: Any, **named: Any) -> Any:
                return await getattr(client, name)(*args, **named)

            return lambda name, *args, **named: runner.run(ask(name, *args, **named))

        yield blocking if request.param == "sync" else looping


@pytest.fixture
def ask(connect: Connect, admin: FakeAdmin) -> Ask:
    return connect(admin.url, TOKEN)


class TestPurge:
    @pytest.mark.parametrize(
        ("wanted", "body"),
        [
            pytest.param({"tags": ["a", "b"]}, {"tags": ["a", "b"]}, id="tags"),
            pytest.param({"tags": "product:1"}, {"tags": ["product:1"]}, id="one tag, no list"),
            pytest.param(
                {"tags": {"a": 1, "b": 2}.keys()}, {"tags": ["a", "b"]}, id="any iterable"
            ),
            pytest.param({"urls": ["http://a/é"]}, {"urls": ["http://a/é"]}, id="urls"),
            pytest.param({"prefixes": "/a"}, {"prefixes": ["/a"]}, id="prefixes"),
            pytest.param({"hosts": ["a:1"]}, {"hosts": ["a:1"]}, id="hosts"),
            pytest.param({"pattern": "x$"}, {"pattern": "x$"}, id="pattern"),
            pytest.param({"all": True}, {"all": True}, id="all"),
            pytest.param(
                {"tags": "a", "hosts": "b", "all": False}, {"tags": ["a"], "hosts": ["b"]}, id="two"
            ),
        ],
    )
    def test_what_is_sent(
        self, ask: Ask, admin: FakeAdmin, wanted: dict[str, Any], body: dict[str, Any]
    ) -> None:
        ask("purge", **wanted)
        (asked,) = admin.asked
        assert (asked.method, asked.target) == ("POST", "/purge")
        assert asked.body == {**body, "soft": False}
        assert asked.fields["authorization"] == f"Bearer {TOKEN}"
        assert asked.fields["content-type"] == "application/json"

    def test_softly_and_with_patience(self, ask: Ask, admin: FakeAdmin) -> None:
        ask("purge", tags="a", soft=True, wait=2.5)
        assert admin.bodies == [{"tags": ["a"], "soft": True, "wait": 2.5}]

    def test_acknowledged(self, ask: Ask) -> None:
        result = ask("purge", all=True)
        assert result == PurgeResult(812, 6, 6)
        assert result.acknowledged

    def test_pending(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Reply({**PURGED, "acked": 5, "pending": ["node-6"], "entries": 3}, 202))
        result = ask("purge", tags="a")
        assert result == PurgeResult(812, 5, 6, ("node-6",), entries=3)
        assert not result.acknowledged

    def test_in_part(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Reply({**PURGED, "refused": [FAULT]}, 207))
        result = ask("purge", tags=["", "a"])
        assert result.refused == (Fault(**FAULT),)
        assert not result.acknowledged

    @pytest.mark.parametrize("method", ["purge", "preview"])
    @pytest.mark.parametrize("wanted", [{}, {"tags": []}, {"pattern": ""}, {"all": False}])
    def test_nothing(self, ask: Ask, admin: FakeAdmin, method: str, wanted: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="name what to purge"):
            ask(method, **wanted)
        assert admin.asked == []

    def test_preview(self, ask: Ask, admin: FakeAdmin) -> None:
        answer = {"dry_run": True, "entries": 7, "urls": ["http://a/"], "complete": False}
        admin.will(Reply(answer))
        assert ask("preview", prefixes="/a") == Preview(7, ("http://a/",), complete=False)
        assert admin.bodies == [{"prefixes": ["/a"], "dry_run": True}]


class TestLooking:
    def test_entries(self, ask: Ask, admin: FakeAdmin) -> None:
        entry = {
            "url": "http://a/?b=1",
            "status": 200,
            "age": 1.5,
            "ttl": -1.0,
            "size": 10,
            "tags": ["t"],
            "groups": [],
            "tier": "memory",
            "hits": None,
            "born": 3,
            "headers": [["A", "1"], ["A", "2"]],
            "vary": [["accept", None]],
        }
        admin.will(Reply({"url": "http://a/?b=1", "entries": [entry]}))
        assert ask("entries", "http://a/?b=1&c=é") == (
            Entry(
                url="http://a/?b=1",
                status=200,
                headers=(("A", "1"), ("A", "2")),
                vary=(("accept", None),),
                age=1.5,
                ttl=-1.0,
                tags=("t",),
                groups=(),
                size=10,
                tier="memory",
                hits=None,
                born=3,
            ),
        )
        target = "/entries?url=http%3A%2F%2Fa%2F%3Fb%3D1%26c%3D%C3%A9"
        assert (admin.asked[0].method, admin.asked[0].target) == ("GET", target)

    def test_tags(self, ask: Ask, admin: FakeAdmin) -> None:
        counts = [{"tag": "a", "entries": 1}, {"tag": "b", "entries": None}]
        admin.will(Reply({"tags": counts, "complete": True}))
        page = ask("tags", "product:", limit=2)
        assert page == TagPage((TagCount("a", 1), TagCount("b", None)), complete=True)
        assert admin.asked[0].target == "/tags?prefix=product%3A&limit=2"

    def test_tag(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Reply({"tag": "a/b", "entries": 1, "urls": ["http://a/"], "complete": True}))
        assert ask("tag", "a/b é") == Preview(1, ("http://a/",), complete=True)
        assert admin.asked[0].target == "/tags/a%2Fb%20%C3%A9?limit=100"

    def test_stats(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Reply({"uptime": 1.0}))
        assert ask("stats") == {"uptime": 1.0}


def test_a_reload(ask: Ask, admin: FakeAdmin) -> None:
    change = {"key": "tls.cert", "old": None, "new": "/a"}
    admin.will(Reply({"changes": [change], "restart": ["tls"], "renewing": ["limits"]}))
    reloaded = ask("reload")
    assert reloaded == Reloaded((SettingChange("tls.cert", None, "/a"),), ("tls",), ("limits",))
    assert (admin.asked[0].method, admin.asked[0].target) == ("POST", "/reload")


class TestExplaining:
    def test_a_request(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Reply({"summary": "a"}))
        assert ask("explain", "http://a/?b", headers=["A: b", "C: d"], mode="probe") == {
            "summary": "a"
        }
        assert admin.asked[0].target == (
            "/explain?url=http%3A%2F%2Fa%2F%3Fb&method=GET&mode=probe&header=A%3A+b&header=C%3A+d"
        )

    def test_a_past_request(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Reply({"summary": "a"}))
        assert ask("explain_past", "a/b") == {"summary": "a"}
        assert admin.asked[0].target == "/explain/requests/a%2Fb"


class TestWarming:
    def test_a_job(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Reply(JOB, 202), Reply({**JOB, "state": "done"}))
        job = ask("warm", ["http://a/"], concurrency=2)
        assert job == WarmJob(
            id="j/1",
            state="running",
            total=4,
            done=3,
            hit=1,
            stored=1,
            not_stored=0,
            failed=1,
            failures=(WarmFailure("http://a/", 404, "not found"),),
            refused=(Fault(**FAULT),),
        )
        assert not job.ended
        assert ask("warm_job", job.id).ended
        started, looked = admin.asked
        assert started.body == {"urls": ["http://a/"], "concurrency": 2}
        assert (looked.method, looked.target) == ("GET", "/warm/j%2F1")

    def test_the_end_of_a_job(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Reply({**JOB, "state": "cancelled"}))
        assert ask("cancel_warm", "j1").ended
        assert (admin.asked[0].method, admin.asked[0].target) == ("DELETE", "/warm/j1")


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, Refused),
            (401, Unauthorized),
            (403, Unauthorized),
            (404, Refused),
            (422, Refused),
            (429, Refused),
            (500, Unexpected),
            (503, LogUnreachable),
        ],
    )
    def test_in_the_servers_words(
        self, ask: Ask, admin: FakeAdmin, status: int, kind: type[PurgeError]
    ) -> None:
        admin.will(problem(status, "No", "Not like this.", FAULT))
        with pytest.raises(kind, match="Not like this") as caught:
            ask("purge", tags="a")
        assert type(caught.value) is kind
        fault = Fault("tags[0]", "empty", "remove it")
        assert caught.value.problem == Problem(status, "No", "Not like this.", (fault,))
        assert str(fault) == "tags[0]: empty: remove it"
        assert len(admin.asked) == 1

    def test_without_a_detail_the_title_tells(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Reply({"title": "Forbidden"}, 403))
        with pytest.raises(Unauthorized, match="Forbidden"):
            ask("stats")

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(Reply(b"<html>", 404), id="a page"),
            pytest.param(Reply([], 400), id="a list"),
            pytest.param(Reply(b"<html>"), id="a page, 200"),
            pytest.param(Reply({"seq": 1}), id="half a result"),
            pytest.param(Reply({**PURGED, "seq": None}), id="no number"),
            pytest.param(Reply([]), id="a list, 200"),
            pytest.param(Reply(b"", 204), id="nothing"),
            pytest.param(Reply({}, 302, (("Location", "/stats"),)), id="a redirect"),
        ],
    )
    def test_what_no_admin_api_says(self, ask: Ask, admin: FakeAdmin, reply: Reply) -> None:
        admin.will(reply)
        with pytest.raises(Unexpected):
            ask("purge", tags="a")
        assert len(admin.asked) == 1

    def test_what_is_no_http(self, ask: Ask, admin: FakeAdmin) -> None:
        admin.will(Raw(b"SSH-2.0-OpenSSH_9.6\r\n"))
        with pytest.raises(Unexpected, match="does not speak HTTP"):
            ask("purge", tags="a")


class TestConnections:
    def test_one_serves_many_calls(self, ask: Ask, admin: FakeAdmin) -> None:
        for _ in range(3):
            ask("purge", tags="a")
        assert {asked.connection for asked in admin.asked} == {1}

    @pytest.mark.parametrize("cut", [Cut(), Cut(half=True)], ids=["at once", "half a body"])
    def test_what_breaks_is_tried_again(self, ask: Ask, admin: FakeAdmin, cut: Cut) -> None:
        admin.will(Reply(), cut, cut)
        ask("purge", tags="a")
        assert ask("purge", tags="b").seq == 812
        assert admin.bodies[1:] == [{"tags": ["b"], "soft": False}] * 3

    def test_not_for_ever(self, connect: Connect, admin: FakeAdmin) -> None:
        admin.will(*[Cut(half=True)] * 3)
        with pytest.raises(Unreachable, match=admin.url):
            connect(admin.url, TOKEN)("purge", tags="a")
        assert len(admin.asked) == 3

    def test_never_where_that_is_wanted(self, connect: Connect, admin: FakeAdmin) -> None:
        admin.will(Cut(half=True))
        with pytest.raises(Unreachable):
            connect(admin.url, TOKEN, retries=0)("purge", tags="a")
        assert len(admin.asked) == 1

    def test_silence(self, connect: Connect, admin: FakeAdmin) -> None:
        admin.will(Silence())
        with pytest.raises(Unreachable, match="timed out"):
            connect(admin.url, TOKEN, timeout=0.05)("stats")
        assert len(admin.once_asked()) == 1

    def test_a_purge_that_waits_may_be_silent_for_longer(
        self, connect: Connect, admin: FakeAdmin
    ) -> None:
        admin.will(Silence())
        threading.Timer(0.3, admin.ending.set).start()
        with pytest.raises(Unreachable) as caught:
            connect(admin.url, TOKEN, timeout=0.05, retries=0)("purge", tags="a", wait=20.0)
        assert "timed out" not in str(caught.value)

    def test_nobody_there(self, connect: Connect) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
            with pytest.raises(Unreachable, match=url):
                connect(url, TOKEN)("stats")

    def test_a_path_before_the_api(self, connect: Connect, admin: FakeAdmin) -> None:
        connect(f"{admin.url}/warmfront/", TOKEN)("purge", tags="a")
        assert admin.asked[0].target == "/warmfront/purge"

    def test_https_is_not_for_a_plain_server(self, connect: Connect, admin: FakeAdmin) -> None:
        with pytest.raises(Unreachable):
            connect(admin.url.replace("http:", "https:"), TOKEN)("stats")


class TestSettings:
    def test_the_token_of_the_environment(
        self, connect: Connect, admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WARMFRONT_ADMIN_TOKEN", "from-the-environment")
        connect(admin.url)("purge", tags="a")
        assert admin.asked[0].fields["authorization"] == "Bearer from-the-environment"

    def test_no_token_at_all(self, connect: Connect, admin: FakeAdmin) -> None:
        connect(admin.url)("purge", tags="a")
        assert "authorization" not in admin.asked[0].fields

    @pytest.mark.parametrize(
        "url",
        [
            "127.0.0.1:8081",
            "ftp://a",
            "http://",
            "http://a?b",
            "http://a#b",
            "http://a:b",
            "http://[a",
        ],
    )
    def test_no_address(self, connect: Connect, url: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - some words are urllib's
            connect(url, TOKEN)

    @pytest.mark.parametrize("token", ["a b", "a\r\nHost: b", "é"])
    def test_no_token(self, connect: Connect, token: str) -> None:
        with pytest.raises(ValueError, match="a token is printable ASCII") as caught:
            connect("http://127.0.0.1", token)
        assert token not in str(caught.value)

    def test_nothing_shows_the_token(self) -> None:
        assert TOKEN not in repr(wire.server("http://127.0.0.1", TOKEN))


class TestThreads:
    def test_each_call_has_a_connection_to_itself(self, admin: FakeAdmin) -> None:
        with PurgeClient(admin.url, TOKEN) as client:
            results: list[PurgeResult] = []
            threads = [
                threading.Thread(target=lambda: results.append(client.purge(tags="a")))
                for _ in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert results == [PurgeResult(812, 6, 6)] * 20

    def test_old_connections_are_not_trusted(
        self, admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("proxy.client.sync.KEEP_IDLE", 0.0)
        with PurgeClient(admin.url, TOKEN) as client:
            client.purge(tags="a")
            client.purge(tags="a")
        assert [asked.connection for asked in admin.asked] == [1, 2]

    @pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
    def test_a_child_does_not_speak_on_its_parents_connections(self, admin: FakeAdmin) -> None:
        with PurgeClient(admin.url, TOKEN) as client:
            client.purge(tags="parent")
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = 0 if client.purge(tags="child").acknowledged else 1
                finally:
                    os._exit(status)  # whatever happens, the tests are the parent's
            assert os.waitpid(child, 0)[1] == 0
            client.purge(tags="parent")
        assert [asked.connection for asked in admin.asked] == [1, 2, 1]


class TestImports:
    def test_threads_need_the_standard_library_only(self) -> None:
        code = (
            "import sys, proxy.client\n"
            "print([name for name in ('aiohttp', 'yarl', 'pydantic') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        assert done.stdout.decode().strip() == "[]"

    def test_there_is_nothing_else(self) -> None:
        import proxy.client  # noqa: PLC0415 - to look at it from outside

        with pytest.raises(AttributeError, match="Nonsense"):
            _ = proxy.client.Nonsense


async def test_the_async_client_closes_with_its_block(admin: FakeAdmin) -> None:
    async with AsyncPurgeClient(admin.url, TOKEN) as client:
        first, second = await asyncio.gather(client.purge(tags="a"), client.purge(tags="b"))
    assert first.acknowledged
    assert second.acknowledged
