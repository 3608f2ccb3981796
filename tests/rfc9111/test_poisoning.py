"""Requests whose answers others must not get, and what keeps an origin's confusion to itself."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from multidict import CIMultiDict

from proxy.rfc9111 import keys, poisoning
from proxy.rfc9111.freshness import evaluate
from proxy.rfc9111.messages import Request, Response
from proxy.rfc9111.policy import KeyPolicy, Policy
from proxy.rfc9111.reasons import Reason
from proxy.rfc9111.reuse import bypass_reason
from proxy.rfc9111.stored import Freshness, LifetimeSource
from proxy.rfc9111.storing import NotStorable, decide

Lines = Sequence[tuple[str, str]]

NOW = 1_750_000_000.0
FRESH = ("Cache-Control", "max-age=60")


def request_for(*lines: tuple[str, str], target: str = "/a", method: str = "GET") -> Request:
    return Request(method, "http", "api.example", target, CIMultiDict(lines))


def why_not_stored(
    request: Request, *lines: tuple[str, str], status: int = 200, policy: Policy | None = None
) -> Reason | None:
    response = Response(status, "", CIMultiDict(lines or [FRESH]))
    decision = decide(request, response, policy or Policy(), request_time=NOW, response_time=NOW)
    return decision.reason if isinstance(decision, NotStorable) else None


class TestUnshareable:
    @pytest.mark.parametrize("name", [*poisoning.OVERRIDES, "X-HTTP-METHOD-OVERRIDE"])
    def test_an_override(self, name: str) -> None:
        request = request_for((name, "/admin"))
        assert poisoning.unshareable(request, KeyPolicy()) is Reason.REQUEST_OVERRIDE
        bypass = bypass_reason(request, Policy(), has_body=False, upgrade=False)
        assert bypass is Reason.REQUEST_OVERRIDE
        assert why_not_stored(request) is Reason.REQUEST_OVERRIDE

    def test_a_host_that_is_missing(self) -> None:
        """No purge by URL or host could reach what is stored for it, nor a write by others."""
        request = replace(request_for(), authority="")
        assert poisoning.unshareable(request, KeyPolicy()) is Reason.REQUEST_WITHOUT_HOST
        assert why_not_stored(request) is Reason.REQUEST_WITHOUT_HOST

    def test_an_override_that_is_in_the_key(self) -> None:
        request = request_for(("X-Original-URL", "/a"))
        assert poisoning.unshareable(request, KeyPolicy(headers=("x-original-url",))) is None

    def test_an_overridden_post_leaves_nothing_for_gets(self) -> None:
        request = request_for(("X-Rewrite-URL", "/b"), method="POST")
        location = ("Content-Location", "/a")
        assert why_not_stored(request, FRESH, location) is Reason.REQUEST_OVERRIDE

    @pytest.mark.parametrize(
        ("lines", "withheld"),
        [
            ([("Connection", "close")], False),
            ([("Connection", "Keep-Alive, TE"), ("TE", "trailers")], False),
            ([("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AA")], False),
            ([("Connection", "cookie")], False),
            ([("Connection", "Cookie"), ("cookie", "a=b")], True),
            ([("Connection", "close, Accept-Language"), ("Accept-Language", "de")], True),
            ([("Connection", "close"), ("Connection", "\tx-a ,"), ("X-A", "b")], True),
            ([("Connection", "keep-alive,Authorization"), ("Authorization", "x")], True),
        ],
    )
    def test_what_connection_withholds(self, lines: Lines, *, withheld: bool) -> None:
        reason = poisoning.unshareable(request_for(*lines), KeyPolicy())
        assert reason is (Reason.REQUEST_WITHHOLDS if withheld else None)


class TestClaims:
    @pytest.mark.parametrize("name", poisoning.CLAIMS)
    def test_each_is_in_the_key(self, name: str) -> None:
        plain = keys.primary_key(request_for(), KeyPolicy())
        one = keys.primary_key(request_for((name, "evil")), KeyPolicy())
        other = keys.primary_key(request_for((name, "good")), KeyPolicy())
        assert len({plain, one, other}) == 3
        assert one == f"{plain}\nheader {name}: evil"

    @pytest.mark.parametrize("name", ["X-Host", "Api_Key"])
    def test_once(self, name: str) -> None:
        policy = KeyPolicy(headers=(name.lower(),))
        request = request_for((name, "a"))
        assert keys.primary_key(request, policy).count(name.lower()) == 1

    def test_what_cgi_takes_for_another_field(self) -> None:
        """`_` is `-` to many applications, and more to some, so this may be any field."""
        plain = keys.primary_key(request_for(), KeyPolicy())
        lines = [("X_Forwarded-Host", "a"), ("A-B", "c"), ("accept_language", "de")]
        key = keys.primary_key(request_for(*lines, ("x_forwarded-HOST", "b")), KeyPolicy())
        assert key == f"{plain}\nheader accept_language: de\nheader x_forwarded-host: a,b"

    @pytest.mark.parametrize("character", "!#$%&'*+.^_`|~")
    def test_what_may_stand_in_a_name_beside_letters_digits_and_hyphens(
        self, character: str
    ) -> None:
        plain = keys.primary_key(request_for(("X-Plain-1", "a")), KeyPolicy())
        name = f"x{character}host"
        key = keys.primary_key(request_for((name.upper(), "a")), KeyPolicy())
        assert key == f"{plain}\nheader {name}: a"


def test_a_route_for_some_requests_has_keys_of_its_own() -> None:
    policy = KeyPolicy(conditions="X-V: 2", headers=("x-a",))
    key = keys.primary_key(request_for(("X-A", "b")), policy)
    assert key == "http://api.example/a\nroute X-V: 2\nheader x-a: b"


class TestCookies:
    """Those in the key, by names that not every reader takes for others."""

    POLICY = KeyPolicy(cookies=("my_lang",))

    @pytest.mark.parametrize(
        "line",
        [
            pytest.param("my_lang =de", id="Django and Express trim"),
            pytest.param("a=b; \xa0my_lang=de", id="Django trims more"),
            pytest.param("my.lang=de", id="PHP"),
            pytest.param("My_Lang=de", id="ASP.NET"),
            pytest.param("a=b, my_lang=de", id="RFC 2109"),
            pytest.param("a=b my_lang=de", id="http.cookies"),
            pytest.param("my_lang=en; my.lang=de", id="beside the one that is meant"),
        ],
    )
    def test_what_some_read_as_one_of_them(self, line: str) -> None:
        request = request_for(("Cookie", line), ("Cookie", "c=d"))
        strict = [f"cookie my_lang={value}" for value in ("en",) if "my_lang=en" in line]
        assert keys.primary_key(request, self.POLICY).split("\n")[1:] == [
            *strict,
            f"cookies {line}",
            "cookies c=d",
        ]

    @pytest.mark.parametrize(
        "line",
        [
            "a=my_lang",
            "x_my_lang=de; my_lang2=de; x.my_lang=de; my-language=de",
            "a=b=my_lang=de; ref=/p?my_lang=de&my_lang=en",
            "my_lang",
        ],
    )
    def test_what_nobody_does(self, line: str) -> None:
        plain = keys.primary_key(request_for(), self.POLICY)
        assert keys.primary_key(request_for(("Cookie", line)), self.POLICY) == plain
        meant = keys.primary_key(request_for(("Cookie", f"{line}; my_lang=de")), self.POLICY)
        assert meant == f"{plain}\ncookie my_lang=de"

    @pytest.mark.parametrize("name", ["_", "._"])
    @pytest.mark.parametrize("blank", [" ", "\xa0", "\xff"])
    def test_a_name_of_symbols_may_be_any_and_is_not_looked_for_long(
        self, name: str, blank: str
    ) -> None:
        policy = KeyPolicy(cookies=(name,))
        alone, beside = (
            keys.primary_key(request_for(("Cookie", line)), policy).split("\n")[1:]
            for line in (f"{name}=de", f"{name}=de; a=b")
        )
        assert alone == [f"cookie {name}=de"]
        assert beside == [f"cookie {name}=de", f"cookies {name}=de; a=b"]
        start = time.process_time()
        keys.primary_key(request_for(("Cookie", blank * 100_000)), policy)
        assert time.process_time() - start < 1


class TestCloaking:
    """Parameters that hide in others (utm_* does not matter)."""

    POLICY = KeyPolicy(ignore_query=("utm_*",))

    @pytest.mark.parametrize(
        ("query", "kept"),
        [
            ("utm_a=1", ""),
            ("utm_a=1&id=2", "?id=2"),
            ("utm_a=1;id=2", "?utm_a=1;id=2"),
            ("utm_a=1%3bid=2", "?utm_a=1%3bid=2"),
            ("utm_a=1%26id=2", "?utm_a=1%26id=2"),
            ("utm%5fa=1", "?utm%5fa=1"),
            ("UTM_a=1", "?UTM_a=1"),
            ("id=1&utm_a=2&id=3", "?id=1&id=3"),
            ("id=1?utm_a=2", "?id=1?utm_a=2"),
        ],
    )
    def test_ignored(self, query: str, kept: str) -> None:
        assert keys.uri_key(f"http://a/b?{query}", self.POLICY) == f"http://a/b{kept}"

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("x=1&%78=2", "%78=2&x=1"),
            ("x=1&a;x=2", "a;x=2&x=1"),
            ("a[]=1&a[0]=2", "a[0]=2&a[]=1"),
            ("a.b=1&a_b=2", "a_b=2&a.b=1"),
            ("a+b=1&a%20b=2", "a%20b=2&a+b=1"),
            ("x=1&x=2", "x=2&x=1"),
        ],
    )
    def test_order_that_may_matter_is_kept(self, one: str, other: str) -> None:
        policy = KeyPolicy(sort_query=True)
        uris = [f"http://a/b?{query}" for query in (one, other)]
        assert keys.uri_key(uris[0], policy) != keys.uri_key(uris[1], policy)


class TestDoubtfulPaths:
    @pytest.mark.parametrize(
        "target",
        [
            *("//a", "/a//b", "/./a", "/a/..", "/a/../b", "/a/.", "/a;b", "/a\\b", "/a%2fb"),
            *("/a/..%2Fb", "/%2e%2e/a", "/a%5cb", "/a%00.css", "/a%3bb", "/a%3f", "/a%23", "/%61"),
            *("/a%0d%0ab", "/a%252f", "/a%7f", "/%7E", "/%", "/%zz", "/%u002f", "/%c0%af", "/ä"),
        ],
    )
    def test_doubtful(self, target: str) -> None:
        assert poisoning.is_doubtful(target)

    @pytest.mark.parametrize(
        "target",
        [
            *(
                "/",
                "*",
                "/a/",
                "/a.b/c",
                "/a/.well-known/x",
                "/..a",
                "/a...",
                "/a%20b",
                "/%C3%A4",
                "/~a",
            ),
            *("/a,b=c:d@e!$&'()*+", "/a?b=//../%2f;", "/%5Ba%5D", "/%40a", "/%2Ba", "/%3Aa"),
        ],
    )
    def test_plain(self, target: str) -> None:
        assert not poisoning.is_doubtful(target)

    @pytest.mark.parametrize("policy", [Policy(ttl=9), Policy(default_ttl=9)])
    def test_no_lifetime_from_the_route(self, policy: Policy) -> None:
        found = self.freshness("/account;x.css", (), policy)
        assert (found.lifetime, found.source) == (0, LifetimeSource.NONE)
        assert self.freshness("/account.css", [FRESH], policy).lifetime in {9, 60}

    def test_nor_for_an_error(self) -> None:
        policy = Policy(negative_ttl={404: 9})
        assert self.freshness("/..%2fa", (), policy, status=404).lifetime == 0
        assert self.freshness("/a", (), policy, status=404).lifetime == 9

    def test_what_the_origin_says_counts(self) -> None:
        found = self.freshness("/a;b", [FRESH], Policy(ttl=9))
        assert (found.lifetime, found.source) == (60, LifetimeSource.MAX_AGE)

    @staticmethod
    def freshness(target: str, lines: Lines, policy: Policy, status: int = 200) -> Freshness:
        return evaluate(
            request_for(target=target),
            Response(status, "", CIMultiDict(lines)),
            policy,
            request_time=NOW,
            response_time=NOW,
        )


class TestErrors:
    """An error that one client can provoke is nobody else's."""

    @pytest.mark.parametrize("status", [404, 405, 410, 414, 500, 599])
    def test_of_an_ordinary_request(self, status: int) -> None:
        assert why_not_stored(request_for(("Accept", "*/*")), status=status) is None

    @pytest.mark.parametrize("status", [400, 404, 405, 414, 500])
    @pytest.mark.parametrize(
        "field",
        [("X-Large", "x" * 4097), ("X-Meta", "a\tb"), ("X-Meta", "\xe9"), ("X" * 4097, "")],
        ids=["oversized", "tab", "not ASCII", "name"],
    )
    def test_of_an_unusual_one(self, status: int, field: tuple[str, str]) -> None:
        assert why_not_stored(request_for(field), status=status) is Reason.REQUEST_TO_BLAME
        assert why_not_stored(request_for(field), status=200) is None

    def test_the_route_cannot_allow_that(self) -> None:
        policy = Policy(negative_ttl={400: 9})
        request = request_for(("X-Meta", "\xe9"))
        assert why_not_stored(request, status=400, policy=policy) is Reason.REQUEST_TO_BLAME

    def test_provoked_by_what_the_key_leaves_out(self) -> None:
        policy = Policy(key=KeyPolicy(ignore_query=("utm_*",), sort_query=True))
        long = request_for(target=f"/a?utm_x={'x' * 9000}")
        assert why_not_stored(long, status=414, policy=policy) is Reason.REQUEST_TO_BLAME
        sorted_ = request_for(target="/a?b=1&a=2")
        assert why_not_stored(sorted_, status=414, policy=policy) is None

    @pytest.mark.parametrize("status", [400, 403, 406])
    def test_what_is_about_the_request_needs_the_route(self, status: int) -> None:
        """A short and plain field may have provoked it, such as `Accept: odd/type`."""
        assert why_not_stored(request_for(), status=status) is Reason.REQUEST_TO_BLAME
        allowing = Policy(negative_ttl={status: 9})
        assert why_not_stored(request_for(), status=status, policy=allowing) is None


class TestKeySize:
    def test_the_target(self) -> None:
        fits = request_for(target="/" + "a" * 16_000)
        assert why_not_stored(fits) is None
        assert why_not_stored(request_for(target="/" + "a" * 17_000)) is Reason.KEY_TOO_LARGE

    def test_a_field_of_the_key(self) -> None:
        policy = Policy(key=KeyPolicy(headers=("x-a",)))
        request = request_for(("X-A", "a" * 17_000))
        assert why_not_stored(request, policy=policy) is Reason.KEY_TOO_LARGE
        assert why_not_stored(request) is None

    def test_a_field_of_vary(self) -> None:
        request = request_for(("X-A", "a" * 17_000))
        assert why_not_stored(request, FRESH, ("Vary", "X-A, X-B")) is Reason.KEY_TOO_LARGE
