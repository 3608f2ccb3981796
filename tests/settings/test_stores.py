"""Memory and Redis: what fits together, what becomes of it, and that no password shows."""

import pytest

from proxy.redis_link.options import Mode, RedisOptions
from proxy.settings import Redis, SettingsError, Store, defaults
from proxy.settings.loading import settings_from

SECRET = "s3cret-of-redis"  # noqa: S105 - nobody's


def store_of(redis: str, above: str = "") -> Store:
    return settings_from(f"store: {{{above}redis: {redis}}}", file="c.yaml", env={}).store


def redis_of(redis: str) -> Redis:
    found = store_of(redis).redis
    assert found is not None
    return found


def problems_of(redis: str, above: str = "") -> list[str]:
    with pytest.raises(SettingsError) as caught:
        store_of(redis, above)
    assert SECRET not in str(caught.value)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def test_without_redis_there_is_memory_only() -> None:
    assert defaults().store.redis is None


def test_a_url_is_enough() -> None:
    assert redis_of("{url: redis://h}").options() == RedisOptions(nodes=(("h", 6379),))


def test_every_key_reaches_the_options() -> None:
    text = """{
        url: "rediss+sentinel://a:1,b/orders/2", mode: sentinel, timeout: 1s, connect_timeout: 2s,
        connections: 3, username: u, password: p, sentinel: {username: su, password: sp},
        tls: {verify: off, ca: ca.pem, cert: c.pem, key: k.pem}, namespace: "shop:", version: 4}"""
    assert redis_of(" ".join(text.split())).options() == RedisOptions(
        mode=Mode.SENTINEL,
        nodes=(("a", 1), ("b", 26379)),
        service="orders",
        database=2,
        tls=True,
        username="u",
        password="p",  # noqa: S106
        sentinel_username="su",
        sentinel_password="sp",  # noqa: S106
        verify=False,
        ca_file="ca.pem",
        certificate_file="c.pem",
        key_file="k.pem",
        timeout=1.0,
        connect_timeout=2.0,
        max_connections=3,
        namespace="shop:",
        version=4,
    )


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("redis://h:1/0", Mode.STANDALONE),
        ("REDISS://h", Mode.STANDALONE),
        ("unix:///run/redis.sock", Mode.STANDALONE),
        ("redis+sentinel://a,b/main", Mode.SENTINEL),
        ("redis+cluster://a,b,[::1]:7000", Mode.CLUSTER),
    ],
)
def test_schemes(url: str, mode: Mode) -> None:
    assert redis_of(f"{{url: '{url}'}}").options().mode is mode


def test_a_plain_scheme_leaves_the_mode_to_its_key() -> None:
    assert redis_of("{url: 'redis://a,b', mode: cluster}").options().mode is Mode.CLUSTER


def test_credentials_of_their_own_keys_win() -> None:
    options = redis_of("{url: 'redis://u:p@h', password: q}").options()
    assert (options.username, options.password) == ("u", "q")


@pytest.mark.parametrize(
    ("redis", "problem"),
    [
        ("{}", "url: missing"),
        (f"{{url: {SECRET}}}", "url: is not a URL of Redis"),
        (f"{{url: 'http://:{SECRET}@h'}}", "url: is not a URL of Redis"),
        (f"{{url: 'redis://:{SECRET} @h'}}", "url: is not a URL: it has blanks or non-ASCII"),
        (f"{{url: 'redis://:{SECRET}é@h'}}", "url: is not a URL: it has blanks or non-ASCII"),
        (f"{{url: 'redis://:[{SECRET}]@h'}}", "url: is not a URL: its brackets do not match"),
        (f"{{url: 'redis://:{SECRET}@h:0'}}", "url: a host or port in the URL is missing"),
        (f"{{url: 'redis://:{SECRET}@h?db=1'}}", "url: the URL takes no query"),
        (f"{{url: 'redis://:{SECRET}@h/x'}}", "url: the database in the URL is not a number"),
        (f"{{url: 'redis://:{SECRET}@a,b'}}", "url: several hosts need redis+sentinel://"),
        (f"{{url: 'redis+sentinel://:{SECRET}@a'}}", "url: sentinels need the service's name"),
        (f"{{url: 'redis+cluster://:{SECRET}@a/1'}}", "url: a cluster has no database but 0"),
        ("{url: 'redis+cluster://a', mode: sentinel}", "url: the URL says cluster"),
        ("{url: 'redis://a', mode: clustr}", "mode: 'clustr' is not one of standalone"),
        ("{url: 'redis://a', tls: {ca: ca.pem}}", "tls: is for rediss:// only"),
        ("{url: 'redis://a', sentinel: {username: u}}", "sentinel: is for redis+sentinel://"),
        ("{url: 'redis://a', namespace: '{wf}'}", "namespace: '{wf}' cannot begin keys"),
        ("{url: 'redis://a', username: 'a b'}", "username: 'a b' is not the name of a user"),
        ("{url: 'redis://a', password: ''}", "password: is empty"),
        ("{url: 'redis://a', timeout: 0}", "timeout: must be longer than zero"),
        ("{url: 'redis://a', connections: 0}", "connections: 0 is out of range"),
        ("{url: 'redis://a', max_object_size: 5MiB}", "max_object_size: is larger than store.mem"),
    ],
)
def test_what_cannot_be(redis: str, problem: str) -> None:
    (told,) = problems_of(redis)
    assert told.startswith(f"store.redis.{problem}")


def test_memory_bounds_what_goes_to_redis() -> None:
    store = store_of(
        "{url: 'redis://a', max_object_size: 5MiB}", "memory: {max_object_size: 5MiB}, "
    )
    assert store.redis is not None
    assert store.redis.max_object_size == 5 * 2**20


def test_passwords_do_not_show() -> None:
    store = store_of(
        f"{{url: 'redis+sentinel://:{SECRET}@h/s', password: {SECRET},"
        f" sentinel: {{password: {SECRET}}}}}"
    )
    assert SECRET not in f"{store!r} {store}"
    assert store.redis is not None
    assert SECRET not in repr(store.redis.options())


class TestFlag:
    def test_it_needs_no_file(self) -> None:
        redis = defaults().with_overrides(redis="redis://h/1").store.redis
        assert redis is not None
        assert redis.options() == RedisOptions(nodes=(("h", 6379),), database=1)

    def test_it_leaves_the_other_keys(self) -> None:
        settings = settings_from(
            "store: {memory: {max_size: 8MiB}, redis: {url: 'redis://a', version: 7}}",
            file="c.yaml",
            env={},
        )
        store = settings.with_overrides(redis="redis://b").store
        assert store.memory.max_size == 8 * 2**20
        assert store.redis is not None
        assert (store.redis.options().nodes, store.redis.version) == ((("b", 6379),), 7)

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            (SECRET, "is not a URL of Redis"),
            (f"redis+cluster://:{SECRET}@a", "the URL says cluster, the mode says standalone"),
            (f"redis://:{SECRET}@a", "store.redis.tls is for rediss:// only"),
        ],
    )
    def test_it_must_fit(self, url: str, message: str) -> None:
        settings = settings_from(
            "store: {redis: {url: 'rediss://a', mode: standalone, tls: {verify: off}}}",
            file="c.yaml",
            env={},
        )
        with pytest.raises(SettingsError) as caught:
            settings.with_overrides(redis=url)
        (problem,) = caught.value.problems
        assert (problem.path, problem.message) == ("--redis", message)
