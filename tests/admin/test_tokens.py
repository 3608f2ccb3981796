import base64

import pytest

from proxy.admin import Role, TokenSpec
from proxy.admin.tokens import Tokens, presented
from proxy.rfc9111.messages import Headers

SECRET = "a-secret-0123456789"  # noqa: S105 - nobody else's
OTHER = "another-0123456789"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("lines", "token"),
    [
        ([("Authorization", f"Bearer {SECRET}")], SECRET),
        ([("authorization", f"bearer   {SECRET} ")], SECRET),
        ([("Authorization", basic(f"anyone:{SECRET}"))], SECRET),
        ([("Authorization", basic(f":{SECRET}"))], SECRET),
        ([("Authorization", basic(SECRET))], ""),
        ([("Authorization", "Basic !")], None),
        ([("Authorization", "Basic \xe9")], None),
        ([("Authorization", f"EG1-HMAC-SHA256 a=b;access_token={SECRET};c=d")], SECRET),
        ([("Authorization", f"EG1-HMAC-SHA256 not_access_token={SECRET}")], None),
        ([("Authorization", f"Digest {SECRET}")], None),
        ([("Authorization", SECRET)], None),
        ([("Fastly-Key", SECRET)], SECRET),
        ([("X-API-Key", SECRET)], SECRET),
        ([("X-Auth-Key", SECRET)], SECRET),
        ([("X-Invalidate-Token", SECRET)], SECRET),
        ([("Fastly-Key", OTHER), ("Fastly-Key", SECRET)], ""),
        ([("Authorization", f"Bearer {OTHER}"), ("Fastly-Key", SECRET)], OTHER),
        ([("Cookie", SECRET)], None),
        ([], None),
    ],
)
def test_presented(lines: list[tuple[str, str]], token: str | None) -> None:
    assert presented(Headers(lines)) == token


def test_each_token_has_its_caller() -> None:
    tokens = Tokens([TokenSpec(SECRET, Role.READ, "ci"), TokenSpec(OTHER, Role.PURGE, "api")])
    found = tokens.caller(Headers([("X-API-Key", OTHER)]))
    assert found is not None
    assert (found.name, found.role) == ("api", Role.PURGE)
    for wrong in ("", SECRET[:-1], SECRET + "x", SECRET.upper(), "\xe9"):
        assert tokens.caller(Headers([("X-API-Key", wrong)])) is None
    assert tokens.caller(Headers()) is None


def test_no_token_stays_in_memory_or_shows() -> None:
    assert SECRET not in repr(TokenSpec(SECRET))
    assert SECRET not in repr(vars(Tokens([TokenSpec(SECRET)])))


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 513, "with blank 0123456", "colon:0123456789a"]
)
def test_weak_tokens_are_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="16 to 512") as caught:
        TokenSpec(token)
    assert not token or token not in str(caught.value)


def test_tokens_must_differ() -> None:
    with pytest.raises(ValueError, match="twice"):
        Tokens([TokenSpec(SECRET, Role.READ), TokenSpec(SECRET, Role.ADMIN)])
    with pytest.raises(ValueError, match="at least one"):
        Tokens([])


def test_roles_by_name() -> None:
    assert [Role.of(name) for name in ("read", "purge", "admin")] == sorted(Role)
    with pytest.raises(ValueError, match="read, purge, admin"):
        Role.of("root")
