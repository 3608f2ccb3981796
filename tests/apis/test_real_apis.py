"""What the users of three real APIs see of the cache in front: hit, 304, Vary, private, writes."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.apis.conftest import PATIENCE, Api
from tests.apis.shop import SHORT

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}
FROM_THE_PROXY = {"age", "cache-status", "via", "warmfront-request-id"}


def status_of(response: httpx.Response) -> set[str]:
    """The members of our Cache-Status (RFC 9211), less those that carry a time."""
    cache, *parameters = response.headers["Cache-Status"].split("; ")
    assert cache == "warmfront"
    return {parameter for parameter in parameters if not parameter.startswith("ttl=")}


def is_hit(response: httpx.Response) -> bool:
    return "hit" in status_of(response)


def end_to_end(response: httpx.Response) -> Mapping[str, str]:
    dropped = HOP_BY_HOP | FROM_THE_PROXY
    return {name: value for name, value in response.headers.items() if name not in dropped}


def test_the_first_request_is_a_miss_and_the_second_a_hit(api: Api, fresh: str) -> None:
    path = f"/products/{fresh}"
    miss, hit = api.through.get(path), api.through.get(path)
    assert {"fwd=uri-miss", "fwd-status=200", "stored"} <= status_of(miss)
    assert status_of(hit) == {"hit", "detail=fresh"}
    assert "Age" not in miss.headers
    assert 0 <= int(hit.headers["Age"]) <= PATIENCE
    assert hit.json() == miss.json() == {"id": fresh, "price": 1000, "version": 1}
    assert end_to_end(hit) == end_to_end(miss)
    assert api.hits(path) == 1


def test_the_proxy_changes_nothing_but_what_it_must(api: Api, fresh: str) -> None:
    path = f"/products/{fresh}"
    direct, through = api.direct.get(path), api.through.get(path)
    assert through.content == direct.content
    assert {**end_to_end(through), "date": ""} == {**end_to_end(direct), "date": ""}


def test_another_query_is_another_resource(api: Api, fresh: str) -> None:
    path = f"/products/{fresh}"
    api.through.get(path, params={"page": "1"})
    assert not is_hit(api.through.get(path, params={"page": "2"}))
    assert is_hit(api.through.get(path, params={"page": "1"}))
    assert api.hits(path) == 2


def test_head_is_answered_from_a_stored_get(api: Api, fresh: str) -> None:
    path = f"/products/{fresh}"
    whole, head = api.through.get(path), api.through.head(path)
    assert is_hit(head)
    assert head.content == b""
    assert head.headers["Content-Length"] == str(len(whole.content))
    assert api.hits(path, "HEAD") == 0


def test_a_range_is_cut_from_a_stored_response(api: Api, fresh: str) -> None:
    path = f"/products/{fresh}"
    whole = api.through.get(path)
    part = api.through.get(path, headers={"Range": "bytes=1-4", "If-Range": whole.headers["ETag"]})
    assert is_hit(part)
    assert part.status_code == 206
    assert part.content == whole.content[1:5]
    assert part.headers["Content-Range"] == f"bytes 1-4/{len(whole.content)}"
    assert api.hits(path) == 1


@pytest.mark.parametrize(
    ("condition", "validator"),
    [("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")],
)
def test_a_client_that_holds_it_gets_304_from_the_store(
    api: Api, fresh: str, condition: str, validator: str
) -> None:
    path = f"/products/{fresh}"
    held = api.through.get(path)
    answer = api.through.get(path, headers={condition: held.headers[validator]})
    assert is_hit(answer)
    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["ETag"] == held.headers["ETag"]
    assert answer.headers["Cache-Control"] == held.headers["Cache-Control"]
    assert api.hits(path) == 1


def test_no_cache_is_validated_with_the_api_each_time(api: Api, fresh: str) -> None:
    path = f"/prices/{fresh}"
    first, second = api.through.get(path), api.through.get(path)
    assert {"fwd=uri-miss", "stored"} <= status_of(first)
    assert {"fwd-status=304", "detail=validated"} <= status_of(second)
    assert second.status_code == 200
    assert second.json() == first.json() == {"price": 1000}
    assert api.hits(path) == 2


def test_what_fails_validation_is_replaced(api: Api, fresh: str) -> None:
    path = f"/prices/{fresh}"
    api.through.get(path)
    api.direct.put(f"/products/{fresh}", json={"price": 7}).raise_for_status()
    changed, confirmed = api.through.get(path), api.through.get(path)
    assert {"fwd-status=200", "stored"} <= status_of(changed)
    assert "fwd-status=304" in status_of(confirmed)
    assert changed.json() == confirmed.json() == {"price": 7}


def test_a_304_makes_a_stale_response_fresh_again(api: Api, fresh: str) -> None:
    path = f"/ticker/{fresh}"
    first = api.through.get(path)
    expiry = parsedate_to_datetime(first.headers["Date"]) + timedelta(seconds=SHORT)
    asking = datetime.now(UTC)
    answer = api.through.get(path)
    while is_hit(answer):
        assert int(answer.headers["Age"]) < SHORT
        assert asking < expiry
        time.sleep(0.2)
        asking = datetime.now(UTC)
        answer = api.through.get(path)
    assert datetime.now(UTC) >= expiry
    assert {"fwd=stale", "fwd-status=304", "detail=validated"} <= status_of(answer)
    assert answer.content == first.content
    assert is_hit(api.through.get(path))
    assert api.hits(path) == 2


def test_languages_are_kept_apart(api: Api, fresh: str) -> None:
    path = f"/greeting/{fresh}"

    def greeting(languages: str) -> httpx.Response:
        return api.through.get(path, headers={"Accept-Language": languages})

    english, german = greeting("en"), greeting("de")
    assert {"fwd=uri-miss", "stored"} <= status_of(english)
    assert {"fwd=vary-miss", "stored"} <= status_of(german)
    assert english.json() == {"text": f"hello {fresh}"}
    assert german.json() == {"text": f"hallo {fresh}"}
    for asked, first in (("en", english), ("de", german), ("DE", german)):
        again = greeting(asked)
        assert is_hit(again)
        assert again.content == first.content
        assert again.headers["Content-Language"] == first.headers["Content-Language"]
    assert api.hits(path) == 2


def test_a_private_response_is_for_one_user_only(api: Api, fresh: str) -> None:
    path = f"/account/{fresh}"
    for user in ("ann", "bob", "ann"):
        answer = api.through.get(path, headers={"Cookie": f"session={user}"})
        assert status_of(answer) == {"fwd=uri-miss", "fwd-status=200", "detail=private"}
        assert answer.json() == {"user": fresh, "session": user}
    assert api.hits(path) == 3


def test_no_store_is_not_stored(api: Api) -> None:
    first, second = api.through.get("/_hits"), api.through.get("/_hits")
    assert "detail=no-store" in status_of(first)
    assert second.json()["GET /_hits"] > first.json()["GET /_hits"]


def test_a_response_that_sets_a_cookie_is_not_stored(api: Api, fresh: str) -> None:
    path = f"/visit/{fresh}"
    first, second = (httpx.get(api.url + path, trust_env=False) for _ in range(2))
    assert status_of(first) == {"fwd=uri-miss", "fwd-status=200", "detail=set-cookie"}
    assert first.headers["Set-Cookie"].startswith(f"session={fresh};")
    assert first.json() != second.json()
    assert api.hits(path) == 2


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_write_through_the_proxy_shows_at_once(api: Api, fresh: str, method: str) -> None:
    path = f"/products/{fresh}"
    api.through.get(path)
    written = api.through.request(method, path, json={"price": 7})
    assert written.status_code == 200
    assert "fwd=method" in status_of(written)
    after = api.through.get(path)
    assert {"fwd=uri-miss", "stored"} <= status_of(after)
    assert after.json() == {"id": fresh, "price": 7, "version": 2}
    assert is_hit(api.through.get(path))
    assert api.hits(path) == 2


def test_a_deleted_resource_is_gone_at_once(api: Api, fresh: str) -> None:
    path = f"/products/{fresh}"
    api.through.get(path)
    assert api.through.delete(path).status_code == 204
    assert api.through.get(path).status_code == 404
    assert api.hits(path) == 2


def test_a_write_invalidates_no_other_url(api: Api, fresh: str) -> None:
    written, other = f"/products/{fresh}", f"/products/{fresh}-other"
    api.through.get(written)
    api.through.get(other)
    api.through.put(written, json={"price": 7}).raise_for_status()
    assert is_hit(api.through.get(other))
    assert not is_hit(api.through.get(written))


def test_a_refused_write_invalidates_nothing(api: Api, fresh: str) -> None:
    path = f"/products/{fresh}"
    api.through.get(path)
    assert api.through.put(path, json={"price": -1}).status_code == 422
    assert is_hit(api.through.get(path))
    assert api.hits(path) == 1
