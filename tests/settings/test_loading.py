"""From a file to Settings, or to every problem in it at once, in words and with places."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import Settings, SettingsError, TcpAddress, UnixAddress, defaults, load
from proxy.settings.loading import LARGEST_FILE, settings_from


def read(text: str, **env: str) -> Settings:
    return settings_from(text, file="c.yaml", env=env)


def problems(text: str, **env: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(text, **env)
    return [str(problem).removeprefix("c.yaml:") for problem in caught.value.problems]


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes("\ufefforigin: {url: '${ORIGIN}'}  # é\r\ncache_is_off: 1\r\n".encode())
    with pytest.raises(SettingsError) as caught:
        load(file, {"ORIGIN": "http://api"})
    assert str(caught.value) == f"{file}:2:1: cache_is_off: unknown key"
    file.write_text("origin: {url: '${ORIGIN}'}")
    assert load(file, {"ORIGIN": "http://api"}).origin.url == "http://api"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        pytest.param(
            b"a: 1\nb: \xff\n",
            ":2:4: the byte 0xFF is not UTF-8; save the file as UTF-8",
            id="not UTF-8",
        ),
        pytest.param(b"#" * (LARGEST_FILE + 1), ": is larger than 1 MiB", id="too large"),
        pytest.param(
            b"- a\n", ":1:1: the file is not a mapping; write key: value lines", id="a list"
        ),
        pytest.param(
            b"\n\nhello", ":3:1: the file is not a mapping; write key: value lines", id="a word"
        ),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, raw: bytes, problem: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(raw)
    with pytest.raises(SettingsError) as caught:
        load(file, {})
    assert str(caught.value) == f"{file}{problem}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "Is a directory"), ("gone.yaml", "No such file or directory")],
)
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    assert str(caught.value) == f"{path}: cannot be read: {reason}"


def test_a_path_with_a_nul_cannot_be_opened() -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(Path("a\0b"), {})


def test_an_almost_empty_file_is_all_defaults() -> None:
    assert read("routes:\nlimits:\norigin:\n  url:\n") == defaults()


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("listen: :80", "listen", (TcpAddress("", 80),)),
        (
            'listen: ["[::1]:80", unix:/run/w.sock]',
            "listen",
            (TcpAddress("::1", 80), UnixAddress("/run/w.sock")),
        ),
        ("listen: ['a:0', 'a:0']", "listen", (TcpAddress("a", 0), TcpAddress("a", 0))),
        ("workers: 1", "workers", 1),
        ("workers: 256", "workers", 256),
        ("tls: {cert: a.pem, key: b.pem}", "tls.key", "b.pem"),
        ("tls:", "tls", None),
        ("origin: {url: HTTP://Api:8000/}", "origin.url", "http://api:8000"),
        ("origin: {host: origin}", "origin.host", "origin"),
        ("origin: {timeouts: {connect: 250ms}}", "origin.timeouts.connect", 0.25),
        ("origin: {timeouts: {connect: 250ms}}", "origin.timeouts.header", 60.0),
        ("origin: {tls: {verify: off}}", "origin.tls.verify", False),
        ("origin:\n  tls:\n    ca: ${CA:-}", "origin.tls.ca", None),
        ("origin: {pool: {keepalive: 0}}", "origin.pool.keepalive", 0.0),
        ("origin: {forwarded: {via: 'off'}}", "origin.forwarded.via", False),
        ("limits: {header_size: 4 kB}", "limits.header_size", 4000),
        ("limits:\n  headers: ${N}", "limits.headers", 7),
        ("store: {memory: {max_size: 1MiB}}", "store.memory.max_size", 2**20),
        ("defaults: {cache: True}", "defaults.cache", True),
        ("defaults: {negative_ttl: {404: 1m}}", "defaults.negative_ttl", {404: 60.0}),
        ("defaults: {key: {ignore_query: [utm_*]}}", "defaults.key.ignore_query", ("utm_*",)),
        ("log: {level: debug}", "log.level.value", "debug"),
        ("drain_timeout: 0", "drain_timeout", 0.0),
    ],
)
def test_values_become_what_their_key_means(text: str, path: str, value: object) -> None:
    found: object = read(text, N="7")
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_text_stays_text() -> None:
    text = "routes: [{tags: [1.10, off], response_headers: {set: {X-A: 0x1F, X-B: ''}}}]"
    route = read(text).routes[0]
    assert route.tags == ("1.10", "off")
    assert route.response_headers.set == {"X-A": "0x1F", "X-B": ""}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # Keys.
        ("listn: :80", "1:1: listn: unknown key; did you mean listen?"),
        ("xyz: 1", "1:1: xyz: unknown key"),
        ("'': 1", "1:1: unknown key"),
        ("cache: off", "1:1: cache: unknown key; did you mean defaults.cache or routes[].cache?"),
        (
            "store: {max_size: 1MiB}",
            "1:9: store.max_size: unknown key; did you mean memory.max_size?",
        ),
        ("store: {rediss: {url: x}}", "1:9: store.rediss: unknown key; did you mean redis?"),
        ("admin: {listen: x}", "1:9: admin.listen: 'x' has no port; write x:8080"),
        ("admin: on", "1:1: admin: must be a mapping; write key: value lines under it"),
        (
            "origin: {uri: http://a}",
            "1:10: origin.uri: unknown key; did you mean url?",
        ),
        (
            "routes:\n  - tll: 30s",
            "2:5: routes[0].tll: unknown key; did you mean ttl?",
        ),
        (
            "routes: [{path: /}]",
            "1:11: routes[0].path: unknown key; did you mean match.path?",
        ),
        (
            "routes: [{headers: {}}]",
            "1:11: routes[0].headers: unknown key; did you mean key.headers or match.headers?",
        ),
        ("tls: {cert: a}", "1:1: tls.key: missing"),
        ("tls: {cert: a, key: }", "1:16: tls.key: missing"),
        # Shapes.
        ("store: 1", "1:1: store: must be a mapping; write key: value lines under it"),
        ("routes: {}", "1:1: routes: must be a list; write [one, two]"),
        ("routes: [1]", "1:10: routes[0]: must be a mapping; write key: value lines under it"),
        ("routes: [{tags: x}]", "1:11: routes[0].tags: must be a list; write [one, two]"),
        (
            "defaults: {negative_ttl: [404]}",
            "1:12: defaults.negative_ttl: must be a mapping; write key: value lines under it",
        ),
        ("drain_timeout: [1s]", "1:1: drain_timeout: must be a single value, not a list"),
        ("log: {level: {}}", "1:7: log.level: must be a single value, not a mapping"),
        (
            "routes: [{tags: [a, ]}, {tags: [a, ~]}]",
            "1:36: routes[1].tags[1]: has no value; write one, or remove the key",
        ),
        (
            "routes:\n  - match: {path: }",
            "2:13: routes[0].match.path: has no value; write one, or remove the key",
        ),
        (
            "routes:\n  - match:\n      methods:\n",
            "3:7: routes[0].match.methods: must be a list; write [one, two]",
        ),
        (
            "defaults: {negative_ttl: {404: }}",
            "1:27: defaults.negative_ttl.404: has no value; write one, or remove the key",
        ),
        # Values.
        (
            "listen: 8080",
            "1:1: listen: '8080' is only a port; write 127.0.0.1:8080, or :8080 for everywhere",
        ),
        ("listen: []", "1:1: listen: is an empty list; write an address, such as 127.0.0.1:8080"),
        ("listen: [':1', ':2', ':1']", "1:22: listen[2]: :1 is listed twice; remove it"),
        (
            "workers: 0",
            "1:1: workers: '0' is not a number of workers; write auto, or a number from 1 to 256",
        ),
        (
            "workers: many",
            (
                "1:1: workers: 'many' is not a number of workers; "
                "write auto, or a number from 1 to 256"
            ),
        ),
        (
            "origin: {url: 'api:8000'}",
            "1:10: origin.url: 'api:8000' is not a URL; write http://api:8000",
        ),
        (
            "origin: {timeouts: {connect: 5}}",
            "1:21: origin.timeouts.connect: a duration needs a unit; write 5s",
        ),
        (
            "origin: {timeouts: {connect: 0}}",
            "1:21: origin.timeouts.connect: must be longer than zero; write 30s, say",
        ),
        (
            "origin: {tls: {verify: yes}}",
            "1:16: origin.tls.verify: 'yes' is neither on nor off; write on",
        ),
        ("log: {access: OFF}", "1:7: log.access: 'OFF' is neither on nor off; write off"),
        ("log: {access: 2}", "1:7: log.access: '2' is neither on nor off; write on or off"),
        (
            "origin: {tls: {ca: ' '}}",
            "1:16: origin.tls.ca: is empty; write a value, or remove the key",
        ),
        (
            'origin: {tls: {ca: "a\\0"}}',
            r"1:16: origin.tls.ca: 'a\x00' holds a control character",
        ),
        (
            "limits: {headers: +5}",
            "1:10: limits.headers: '+5' is not a whole number; write digits only, such as 100",
        ),
        (
            "limits: {headers: 1_0}",
            "1:10: limits.headers: '1_0' is not a whole number; write digits only, such as 100",
        ),
        ("limits: {headers: 0}", "1:10: limits.headers: 0 is out of range; write 1 to 10000000"),
        (
            "limits: {header_size: 0}",
            "1:10: limits.header_size: must be larger than zero; write 32KiB, say",
        ),
        (
            "store: {memory: {max_size: 256}}",
            "1:18: store.memory.max_size: a size needs a unit; write 256B, 256KiB or 256MiB",
        ),
        (
            "store: {memory: {max_size: 1MiB, max_object_size: 2MiB}}",
            "1:34: store.memory.max_object_size: is larger than max_size; write at most max_size",
        ),
        (
            "defaults: {set_cookie: stripped}",
            (
                "1:12: defaults.set_cookie: 'stripped' is not one of bypass, strip or store; "
                "did you mean strip?"
            ),
        ),
        (
            "log: {format: xml}",
            "1:7: log.format: 'xml' is not one of pretty or json",
        ),
        (
            "defaults: {negative_ttl: {4xx: 1s}}",
            (
                "1:27: defaults.negative_ttl.4xx: '4xx' is not a status from 400 to 599; "
                "write 404, say"
            ),
        ),
        (
            "defaults: {negative_ttl: {200: 1s}}",
            (
                "1:27: defaults.negative_ttl.200: '200' is not a status from 400 to 599; "
                "write 404, say"
            ),
        ),
        (
            "defaults: {negative_ttl: {404: 1}}",
            "1:27: defaults.negative_ttl.404: a duration needs a unit; write 1s",
        ),
        (
            "defaults: {targeted_fields: ['a b']}",
            (
                "1:30: defaults.targeted_fields[0]: 'a b' is not a token: "
                "letters, digits and !#$%&'*+-.^_`|~ only"
            ),
        ),
        (
            "defaults: {key: {ignore_query: ['a=b']}}",
            (
                "1:33: defaults.key.ignore_query[0]: 'a=b' is not the name of a query parameter; "
                "write utm_*, say"
            ),
        ),
        (
            "defaults: {response_headers: {set: {Content-Length: 5}}}",
            (
                "1:37: defaults.response_headers.set.Content-Length: "
                "Content-Length belongs to the connection, which the server manages"
            ),
        ),
        (
            "defaults: {response_headers: {add: {X-A: 'a €'}}}",
            (
                "1:37: defaults.response_headers.add.X-A: 'a €' holds '€', "
                "which a header field cannot carry"
            ),
        ),
        (
            'defaults: {response_headers: {add: {X-A: "a\\nB: c"}}}',
            (
                r"1:37: defaults.response_headers.add.X-A: 'a\nB: c' holds '\n', "
                "which a header field cannot carry"
            ),
        ),
        (
            "defaults: {response_headers: {add: {X-A: ' a'}}}",
            (
                "1:37: defaults.response_headers.add.X-A: ' a' starts or ends with a blank, "
                "which HTTP drops; remove it"
            ),
        ),
        # Routes.
        (
            "routes: [{match: {path: products}}]",
            (
                "1:19: routes[0].match.path: path 'products' must start with '/', "
                "as in '/products/{id}' or '/**'"
            ),
        ),
        (
            "routes: [{match: {path: '/a/{b'}}]",
            (
                "1:19: routes[0].match.path: '{b' has a brace out of place: "
                "write a name as '{product_id}'"
            ),
        ),
        (
            "routes: [{match: {methods: [get]}}]",
            (
                "1:29: routes[0].match.methods[0]: methods are case-sensitive: get is another one; "
                "write GET"
            ),
        ),
        (
            "routes: [{match: {methods: [CONNECT]}}]",
            "1:29: routes[0].match.methods[0]: CONNECT is never forwarded; remove it",
        ),
        (
            "routes: [{match: {hosts: ['http://a']}}]",
            (
                "1:27: routes[0].match.hosts[0]: host 'http://a' must be a name such as "
                "'api.example.com', '*.example.com' or 'api.example.com:8080', "
                "without a scheme or a path"
            ),
        ),
        (
            "routes: [{match: {headers: {X-A: '~('}}}]",
            (
                "1:29: routes[0].match.headers.X-A: '~(' is not a regular expression: "
                "missing ), unterminated subpattern at position 0"
            ),
        ),
        (
            "routes: [{match: {headers: {X-A: '~[[a]'}}}]",
            (
                "1:29: routes[0].match.headers.X-A: '~[[a]' is not a regular expression: "
                "Possible nested set at position 1"
            ),
        ),
        (
            "routes: [{match: {path: '/p/{id}'}, tags: [p, 'p:{ids}']}]",
            "1:47: routes[0].tags[1]: {ids} is not captured by the path; did you mean {id}?",
        ),
        (
            "routes: [{purge: ['p:{id}']}]",
            "1:19: routes[0].purge[0]: {id} is not captured by the path; write {id} in match.path",
        ),
        (
            "routes: [{tags: ['p:{id']}]",
            "1:18: routes[0].tags[0]: 'p:{id' has a brace out of place: write a name as '{id}'",
        ),
        (
            "routes: [{tags: ['a b']}]",
            (
                "1:18: routes[0].tags[0]: 'a b' is not a tag: no blanks, commas or control "
                'characters; write "product:{id}", say'
            ),
        ),
        # Variables.
        (
            "origin:\n  url: ${ORIGIN}",
            (
                "2:8: origin.url: the environment variable ORIGIN is not set; "
                "set it, or write ${ORIGIN:-default}"
            ),
        ),
        ("drain_timeout: ${TEN}", "1:1: drain_timeout: a duration needs a unit; write 10s"),
        (
            "store: ${GONE}",
            (
                "1:8: store: the environment variable GONE is not set; "
                "set it, or write ${GONE:-default}"
            ),
        ),
    ],
)
def test_one_problem(text: str, problem: str) -> None:
    assert problems(text, TEN="10") == [problem]


def test_all_problems_at_once() -> None:
    text = """\
origin: {url: "${GONE}"}
routes:
  - match: {path: x, methods: [get]}
    tll: 1s
    purge: ["{a}", "{b}"]
  - match: {path: /}
    purge: ["{a}", "{b}"]
  - ttl: 5
    ttl: 5s
log: {levl: info, format: xml}
"""
    assert [line.split(": ")[:2] for line in problems(text)] == [
        ["1:15", "origin.url"],
        ["3:13", "routes[0].match.path"],
        ["3:32", "routes[0].match.methods[0]"],
        ["4:5", "routes[0].tll"],
        ["7:13", "routes[1].purge[0]"],
        ["7:20", "routes[1].purge[1]"],
        ["9:5", "routes[2].ttl"],
        ["10:7", "log.levl"],
        ["10:19", "log.format"],
    ]


def _told(text: str) -> list[str]:
    try:
        read(text)
    except SettingsError as error:
        return [str(problem) for problem in error.problems]
    return []


_PIECES = st.sampled_from(
    [
        "routes:\n", "  - ", "match: ", "path: ", "/a/{id}", "tags: ", "[", "]", "{", "}", ", ",
        "ttl: ", "30s", "5", "\n", "\n    ", "origin: ", "url: ", "http://a", "${X}", "'", '"',
        "listen: ", ":80", "limits: ", "headers: ", "&a ", "*a", "null", "cache: ", "off", "~(",
        "store:\n  memory:\n    max_size: ", "redis: ", "redis://a", "admin: ",
        "token: ", "negative_ttl: ", "404: ", "\ud7ff", "!x ", "<<: ",
    ]
)  # fmt: skip


@given(st.text() | st.lists(_PIECES, max_size=30).map("".join))
def test_any_text_loads_or_is_told_about(text: str) -> None:
    told = _told(text)
    assert all(line.isprintable() and "pydantic" not in line for line in told)


@given(st.binary())
def test_any_file_loads_or_is_told_about(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(raw)
    with suppress(SettingsError):
        assert isinstance(load(file, {}), Settings)
