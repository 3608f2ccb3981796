"""Routes and policies that come of settings."""

from multidict import CIMultiDict

from proxy.rfc9111.messages import Request
from proxy.rfc9111.policy import ClientDirectives, KeyPolicy, Policy, SetCookie
from proxy.routes import HeaderEdits, RouteTable
from proxy.settings import defaults, routes_of
from proxy.settings.loading import settings_from

TEXT = """
defaults:
  cache: on
  ttl: 1m
  stale_if_error: 1h
  negative_ttl: {404: 10s}
  key: {ignore_query: [utm_*], cookies: [lang]}
  response_headers: {remove: [Server], set: {X-A: "1"}}
routes:
  - match:
      path: /products/{id}
      methods: [GET, PUT]
      hosts: [Example.com]
      headers: {X-Exact: "1", X-Regex: "~ [a-c]+"}
    ttl: 0
    negative_ttl: {410: 5s}
    key: {cookies: [], headers: [X-Api], sort_query: on}
    response_headers: {add: {X-B: "2"}}
    tags: ["product:{id}"]
    purge: [products]
  - cache: off
    set_cookie: store
    client_directives: honor
    targeted_fields: [Warmfront-Cache-Control]
    surrogate_control: off
    heuristic_max: 0
    grace: 0
    refresh_ahead: 1.5
    default_ttl: 5s
    stale_while_revalidate: 6s
"""


def test_no_routes_leave_the_fallback() -> None:
    routes, fallback = routes_of(defaults())
    assert routes == []
    assert fallback.name == "defaults"
    assert fallback.policy == Policy()


def test_a_route_replaces_the_defaults_key_by_key() -> None:
    (first, second), fallback = routes_of(settings_from(TEXT, file="c.yaml", env={}))
    base = Policy(
        ttl=60.0,
        stale_if_error=3600.0,
        negative_ttl={404: 10.0},
        key=KeyPolicy(ignore_query=("utm_*",), cookies=("lang",)),
    )
    assert fallback.policy == base
    assert fallback.response_headers == HeaderEdits(remove=("Server",), set=(("X-A", "1"),))

    assert (first.name, first.tags, first.purge) == ("routes[0]", ("product:{id}",), ("products",))
    assert first.policy == Policy(
        ttl=0.0,
        stale_if_error=3600.0,
        negative_ttl={410: 5.0},
        key=KeyPolicy(
            ignore_query=("utm_*",),
            sort_query=True,
            headers=("x-api",),
            conditions="X-Exact: 1; X-Regex: ~[a-c]+",
        ),
    )
    assert first.response_headers == HeaderEdits(
        remove=("Server",), set=(("X-A", "1"),), add=(("X-B", "2"),)
    )

    assert second.name == "routes[1]"
    assert second.policy == Policy(
        cache=False,
        ttl=60.0,
        default_ttl=5.0,
        negative_ttl={404: 10.0},
        stale_while_revalidate=6.0,
        stale_if_error=3600.0,
        grace=0.0,
        refresh_ahead=1.5,
        heuristic_max=0.0,
        set_cookie=SetCookie.STORE,
        client_directives=ClientDirectives.HONOR,
        targeted_fields=("warmfront-cache-control",),
        surrogate_control=False,
        key=base.key,
    )


def test_conditions_reach_the_table() -> None:
    routes, fallback = routes_of(settings_from(TEXT, file="c.yaml", env={}))
    table = RouteTable(routes[:1], fallback)

    def found(method: str = "GET", target: str = "/products/7?x", **headers: str) -> str:
        fields = CIMultiDict({"X-Exact": "1", "X-Regex": "abc"} | headers)
        request = Request(method, "http", "example.com", target, fields)
        return table.find(request).route.name

    assert found() == found("PUT") == found("HEAD") == "routes[0]"
    assert found("DELETE") == found(target="/products") == "defaults"
    assert found(**{"X-Exact": "11"}) == found(**{"X-Regex": "abcd"}) == "defaults"


def keys_of(text: str) -> list[KeyPolicy]:
    routes, fallback = routes_of(settings_from(text, file="f.yaml", env={}))
    return [route.policy.key for route in (*routes, fallback)]


def test_a_route_for_some_requests_keeps_its_answers_to_itself() -> None:
    conditional, plain, fallback = keys_of(
        'routes: [{match: {headers: {X-V: "2", X-W: "~a|b"}}}, {match: {path: /a}}]'
    )
    assert conditional.conditions == "X-V: 2; X-W: ~a|b"
    assert plain == fallback == KeyPolicy()


def test_what_passes_since_a_proxy_in_front_sets_it_is_in_the_key() -> None:
    one, other, fallback = keys_of(
        """
        origin: {url: "http://a", forwarded: {x_forwarded: off}}
        origins: {b: {url: "http://b", forwarded: {forwarded: off}}}
        routes: [{match: {path: /a}, key: {headers: [X-Forwarded-Host]}}, {origin: b}]
        """
    )
    passing = ("x-forwarded-host", "x-forwarded-port", "x-forwarded-proto")
    assert one.headers == fallback.headers == passing
    assert other.headers == ("forwarded",)
