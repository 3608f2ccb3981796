"""The dashboard over real sockets: who gets what, and nothing that helps somebody else."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from proxy.admin import TokenSpec, Totals
from proxy.admin.dashboard import files, live, sessions
from proxy.admin.dashboard.live import Live, Stream
from proxy.admin.dashboard.sessions import Sessions
from proxy.admin.options import Role
from proxy.admin.recent import Recent
from proxy.admin.tokens import Caller
from tests.admin.conftest import (
    ADMIN,
    API,
    OPTIONS,
    PATIENCE,
    PURGE,
    READ,
    Admin,
    Shelf,
    admin_of,
    document,
    faults,
)
from tests.apparatus import Answer, eventually

FORM = ("Content-Type", "application/x-www-form-urlencoded")
OLGA = Caller("olga", Role.ADMIN)


@dataclass
class Visitor:
    """A browser that has logged in."""

    admin: Admin
    cookie: str
    proof: str

    async def ask(self, method: str, target: str, *lines: tuple[str, str], **more: Any) -> Answer:
        fields = (("Cookie", self.cookie), *lines)
        return await self.admin.by(None).ask(method, f"/dashboard{target}", *fields, **more)

    async def call(self, method: str, target: str, **more: Any) -> Answer:
        proof = ("X-Warmfront-Proof", self.proof)
        return await self.ask(method, f"/api{target}", proof, **more)


async def log_in(admin: Admin, token: str, *lines: tuple[str, str]) -> Answer:
    form = f"token={token}".encode()
    return await admin.by(None).ask("POST", "/dashboard/login", FORM, *lines, body=form)


async def visitor(admin: Admin, token: str = ADMIN) -> Visitor:
    answer = await log_in(admin, token)
    assert (answer.status, answer.headers["Location"]) == (303, "/dashboard")
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    page = await admin.by(None).ask("GET", "/dashboard", ("Cookie", cookie))
    found = re.search(rb'data-proof="([^"]+)"', page.body)
    assert found is not None
    return Visitor(admin, cookie, found[1].decode())


class TestLoggingIn:
    async def test_the_cookie_is_for_this_page_alone_and_says_nothing(self, admin: Admin) -> None:
        answer = await log_in(admin, ADMIN)
        pair, *attributes = answer.headers["Set-Cookie"].split("; ")
        assert attributes == ["Path=/dashboard", "HttpOnly", "SameSite=Strict"]
        name, _, value = pair.partition("=")
        assert name == f"warmfront_{admin.port}"
        assert len(value) >= 40
        assert ADMIN not in answer.headers["Set-Cookie"]
        assert (await log_in(admin, ADMIN)).headers["Set-Cookie"] != answer.headers["Set-Cookie"]

    @pytest.mark.parametrize(
        "form",
        [
            pytest.param(b"token=wrong-token-0123456", id="unknown"),
            pytest.param(b"", id="nothing"),
            pytest.param(b"token=", id="empty"),
            pytest.param(b"other=1", id="another field"),
            pytest.param(b"token=%ff%fe", id="no text"),
            pytest.param(b"&".join([b"token=a"] * 20), id="too many fields"),
        ],
    )
    async def test_others_get_the_form_again(self, admin: Admin, form: bytes) -> None:
        answer = await admin.by(None).ask("POST", "/dashboard/login", FORM, body=form)
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
        assert b"This token is not known here." in answer.body

    async def test_a_long_form_is_not_read(self, admin: Admin) -> None:
        form = b"token=" + b"a" * 5000
        answer = await admin.by(None).ask("POST", "/dashboard/login", FORM, body=form)
        assert answer.status == 413

    async def test_wrong_tokens_are_slowed_down_and_count_with_all_others(
        self, admin: Admin
    ) -> None:
        for _ in range(5):
            await admin.by("wrong-token-0123456").ask("GET", "/stats")
        answers = [await log_in(admin, "wrong-token-0123456") for _ in range(6)]
        assert [one.status for one in answers] == [403] * 5 + [429]
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 6
        assert (await log_in(admin, ADMIN)).status == 303

    @pytest.mark.parametrize(
        "line",
        [
            pytest.param(("Origin", "http://evil.example"), id="Origin"),
            pytest.param(("Sec-Fetch-Site", "cross-site"), id="Sec-Fetch-Site"),
        ],
    )
    async def test_another_site_cannot_log_one_in(
        self, admin: Admin, line: tuple[str, str]
    ) -> None:
        answer = await log_in(admin, ADMIN, line)
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers

    async def test_the_log_knows_who_and_no_secret(
        self, admin: Admin, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("DEBUG"):
            one = await visitor(admin)
            await one.ask("POST", "/logout", ("X-Warmfront-Proof", one.proof))
        assert "admin logs in" in caplog.text
        assert "admin logs out" in caplog.text
        for secret in (ADMIN, one.cookie.partition("=")[2], one.proof):
            assert secret not in caplog.text


class TestSessions:
    async def test_a_session_is_nothing_to_the_admin_api(self, admin: Admin) -> None:
        one = await visitor(admin)
        lines = [("Cookie", one.cookie), ("X-Warmfront-Proof", one.proof)]
        assert (await admin.by(None).ask("GET", "/stats", *lines)).status == 401

    async def test_a_token_is_nothing_to_the_pages_calls(self, admin: Admin) -> None:
        answer = await admin.ask("GET", "/dashboard/api/stats")
        assert answer.status == 401
        assert faults(answer) == [("header Cookie", "no session")]

    async def test_without_one_there_is_only_the_login(self, admin: Admin) -> None:
        answer = await admin.by(None).ask("GET", "/dashboard")
        assert b'action="/dashboard/login"' in answer.body
        assert b"data-proof" not in answer.body
        assert (await admin.by(None).ask("GET", "/dashboard/events")).status == 401

    async def test_what_it_may_is_what_the_token_may(self, admin: Admin) -> None:
        looks, purges = await visitor(admin, READ), await visitor(admin, PURGE)
        assert (await looks.call("GET", "/stats")).status == 200
        assert (await looks.call("POST", "/purge", body={"tags": ["a"]})).status == 403
        assert not admin.shelf.orders
        assert (await purges.call("POST", "/purge", body={"tags": ["a"]})).status == 200
        assert admin.order.tags == ("a",)
        assert (await purges.call("POST", "/warm", body={"urls": ["http://a/"]})).status == 403

    async def test_calls_are_those_of_the_admin_api(self, admin: Admin) -> None:
        one = await visitor(admin)
        found = document(await one.call("GET", f"/entries?url=http://{API}/products/1"))
        assert [entry["url"] for entry in found["entries"]] == [f"http://{API}/products/1"]
        gone = await one.call("DELETE", f"/entries?url=http://{API}/products/1")
        assert document(gone)["entries"] == 1
        assert (await one.call("GET", "/nothing")).status == 404
        assert (await one.call("POST", "/stats")).status == 405

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("proof", ["", "wrong"])
    async def test_a_cookie_alone_does_nothing(self, admin: Admin, method: str, proof: str) -> None:
        one = replace(await visitor(admin), proof=proof)
        answer = await one.call(method, "/stats" if method == "GET" else "/purge/all")
        assert answer.status == 403
        assert faults(answer) == [("header X-Warmfront-Proof", "not the page's")]
        assert not admin.shelf.orders
        assert (await one.ask("POST", "/logout")).status == 403

    async def test_the_proof_is_of_one_session(self, admin: Admin) -> None:
        one, other = await visitor(admin), await visitor(admin)
        mixed = replace(one, proof=other.proof)
        assert (await mixed.call("GET", "/stats")).status == 403

    async def test_logging_out_ends_it_and_takes_the_cookie(self, admin: Admin) -> None:
        one = await visitor(admin)
        answer = await one.ask("POST", "/logout", ("X-Warmfront-Proof", one.proof))
        assert answer.status == 204
        assert "Max-Age=0" in answer.headers["Set-Cookie"]
        assert (await one.call("GET", "/stats")).status == 401

    async def test_new_tokens_end_all_and_the_same_ones_none(self, admin: Admin) -> None:
        one = await visitor(admin)
        admin.server.reload(OPTIONS)
        assert (await one.call("GET", "/stats")).status == 200
        admin.server.reload(replace(OPTIONS, tokens=(TokenSpec("the-new-one-012345"),)))
        assert (await one.call("GET", "/stats")).status == 401

    async def test_it_is_found_among_other_cookies(self, admin: Admin) -> None:
        one = await visitor(admin)
        name = one.cookie.partition("=")[0]
        crowd = replace(one, cookie=f"a=b; {name}=stale; {one.cookie};c")
        assert (await crowd.call("GET", "/stats")).status == 200

    def test_it_ends_by_itself(self) -> None:
        now = [0.0]
        known = Sessions(lambda: now[0])
        one = known.begin(OLGA)
        now[0] = sessions.LIFETIME - 1
        assert known.find(one.name) is one
        now[0] = sessions.LIFETIME
        assert known.find(one.name) is None

    def test_there_are_only_so_many(self) -> None:
        known = Sessions(lambda: 0.0)
        names = [known.begin(OLGA).name for _ in range(sessions.MOST + 1)]
        assert known.find(names[0]) is None
        assert all(known.find(name) for name in names[1:])


class TestOff:
    async def test_there_is_no_dashboard(self, shelf: Shelf) -> None:
        async with admin_of(shelf, replace(OPTIONS, dashboard=False)) as admin:
            for target in ("/", "/dashboard", "/dashboard/static/main.js"):
                assert (await admin.ask("GET", target)).status == 404
            assert (await log_in(admin, ADMIN)).status == 401

    async def test_from_now_on(self, admin: Admin) -> None:
        one = await visitor(admin)
        admin.server.reload(replace(OPTIONS, dashboard=False))
        assert (await one.ask("GET", "")).status == 401
        admin.server.reload(OPTIONS)
        assert (await one.call("GET", "/stats")).status == 401


class TestFiles:
    async def test_the_way_in(self, admin: Admin) -> None:
        answer = await admin.by(None).ask("GET", "/")
        assert (answer.status, answer.headers["Location"]) == (303, "/dashboard")

    @pytest.mark.parametrize("target", ["", "/static/main.js", "/static/vendor/uPlot.min.css"])
    async def test_nothing_inline_and_nothing_from_elsewhere(
        self, admin: Admin, target: str
    ) -> None:
        answer = await admin.by(None).ask("GET", f"/dashboard{target}")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    async def test_pages_are_not_kept_and_files_are_asked_about(self, admin: Admin) -> None:
        page = await admin.by(None).ask("GET", "/dashboard")
        assert page.headers["Cache-Control"] == "no-store"
        first = await admin.by(None).ask("GET", "/dashboard/static/style.css")
        assert first.headers["Cache-Control"] == "no-cache"
        same = ("If-None-Match", first.headers["ETag"])
        again = await admin.by(None).ask("GET", "/dashboard/static/style.css", same)
        assert (again.status, again.body) == (304, b"")

    @pytest.mark.parametrize(
        "path", ["index.html", "vendor", "../front.py", "%2e%2e/front.py", "vendor/uPlot.LICENSE"]
    )
    async def test_nothing_else_can_be_had(self, admin: Admin, path: str) -> None:
        answer = await admin.by(None).ask("GET", f"/dashboard/static/{path}")
        assert answer.status == 404

    def test_pages_name_only_files_that_are_there(self) -> None:
        named = set()
        for page in ("arrive.html", "index.html", "login.html"):
            text = (files._root() / page).read_text(encoding="utf-8")
            assert not re.search(r"<style|<script>|style=|\son\w+=", text)
            assert 'rel="icon"' in text, "browsers would look for one at /favicon.ico, in vain"
            named |= set(re.findall(r'"/dashboard/static/([^"]+)"', text))
        for name, file in files.assets().items():
            folder = name.rpartition("/")[0]
            if file.content_type.startswith("text/javascript") and not folder:
                named |= set(re.findall(r'from "\./([^"]+)"', file.content.decode()))
        assert named == set(files.assets())

    def test_what_is_not_ours_comes_with_its_licence(self) -> None:
        vendor = files._root() / "vendor"
        assert {one.name for one in vendor.iterdir()} == {
            "uPlot.LICENSE",
            "uPlot.iife.min.js",
            "uPlot.min.css",
        }
        assert "MIT" in (vendor / "uPlot.LICENSE").read_text(encoding="utf-8")

    def test_values_cannot_become_markup(self) -> None:
        answer = files.page("login.html", {"message": '<b>"&'})
        assert isinstance(answer.body, bytes)
        assert b"&lt;b&gt;&quot;&amp;" in answer.body


@asynccontextmanager
async def streaming(one: Visitor) -> AsyncIterator[asyncio.StreamReader]:
    """The stream of figures, after the head of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", one.admin.port)
    try:
        host = f"127.0.0.1:{one.admin.port}"
        head = f"GET /dashboard/events HTTP/1.1\r\nHost: {host}\r\nCookie: {one.cookie}\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(PATIENCE):
            answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Content-Type: text/event-stream\r\n" in answer
        assert b"Transfer-Encoding: chunked\r\n" in answer
        assert b"no-store" in answer
        yield reader
    finally:
        writer.close()


async def next_chunk(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        size = int(await reader.readline(), 16)
        return (await reader.readexactly(size + 2))[:-2]


def events(chunk: bytes) -> list[tuple[str, Any]]:
    """Name and data of each event; a comment or a wish counts as none."""
    assert chunk.endswith(b"\n\n")
    found = []
    for block in chunk.decode().strip("\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


class TestLive:
    async def test_history_then_figures_every_second(self, admin: Admin) -> None:
        one = await visitor(admin, READ)
        async with streaming(one) as reader:
            (_, history), *_ = events(await next_chunk(reader))
            assert isinstance(history, list)
            admin.shelf.totals = Totals(requests=50)
            while True:
                ((name, (stats, rates)),) = events(await next_chunk(reader))
                assert name == "figures"
                if rates is not None and rates["requests"] > 0:
                    break
        assert stats["totals"]["requests"] == 50
        assert stats["requests"] == {"hit": 3, "miss": 1}

    async def test_it_ends_with_the_session(self, admin: Admin) -> None:
        one = await visitor(admin)
        async with streaming(one) as reader:
            await next_chunk(reader)
            await one.ask("POST", "/logout", ("X-Warmfront-Proof", one.proof))
            while await next_chunk(reader):
                pass

    async def test_it_ends_with_the_server_whoever_reads(self, shelf: Shelf) -> None:
        async with admin_of(shelf) as admin:
            one = await visitor(admin)
            async with streaming(one) as reader:
                await next_chunk(reader)
                async with asyncio.timeout(PATIENCE):
                    await admin.server.drain(PATIENCE * 10)
                while await next_chunk(reader):
                    pass

    async def test_there_are_only_so_many_and_each_that_ends_makes_room(
        self, admin: Admin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "MOST_STREAMS", 1)
        one = await visitor(admin)
        async with streaming(one) as reader:
            await next_chunk(reader)
            answer = await one.ask("GET", "/events")
            assert answer.status == 503
            assert faults(answer) == [("dashboard", "open too often")]

        async def room() -> bool:
            return (await one.ask("HEAD", "/events")).status == 200

        await eventually(room)
        assert await room()

    async def test_silence_is_broken(self, shelf: Shelf) -> None:
        recent = Recent(shelf, clock=lambda: 1e9, interval=3600.0)
        recent.start()
        await recent.next(PATIENCE)
        stream = Live(recent, heartbeat=0.01).stream(lambda: True).body
        assert isinstance(stream, Stream)
        assert len(events(await anext(stream))) == 2
        assert await anext(stream) == b": still here\n\n"
        await stream.aclose()
        await recent.close()

    async def test_before_the_first_figures_there_are_none(self, shelf: Shelf) -> None:
        recent = Recent(shelf, clock=lambda: 1e9)
        stream = Live(recent).stream(lambda: True).body
        assert isinstance(stream, Stream)
        assert events(await anext(stream)) == [("history", [])]
        await stream.aclose()
        await stream.aclose()


async def test_stats_tell_rates(admin: Admin) -> None:
    async def told() -> bool:
        return document(await admin.ask("GET", "/stats"))["rates"] is not None

    await eventually(told)
