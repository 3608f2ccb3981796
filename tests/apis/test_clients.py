"""Two clients that nobody here wrote agree with the cache: curl, and hishel, itself a cache."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
from hishel import CacheOptions, SqliteStorage
from hishel.httpx import CacheClient

from tests.apis.conftest import PATIENCE, Api
from tests.apis.shop import SHORT


def curl(*arguments: str | Path) -> str:
    """What curl prints; its own failures fail the test."""
    program = shutil.which("curl")
    if program is None:
        pytest.fail("these tests need the curl program: install it with the system's packages")
    command = [program, "--silent", "--show-error", "--noproxy", "*", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


STATUS = ("--write-out", "%{http_code}")
CACHE_STATUS = ("--write-out", "%{http_code} %header{cache-status}")


def test_curl_keeps_an_etag_and_gets_304_from_the_store(
    api: Api, fresh: str, tmp_path: Path
) -> None:
    path = f"/products/{fresh}"
    tag, body = tmp_path / "etag", tmp_path / "body"
    fetch = (*STATUS, "--etag-save", tag, "--etag-compare", tag, "--output", body, api.url + path)
    tag.touch()
    assert curl(*fetch) == "200"
    content = body.read_bytes()
    assert curl(*fetch) == "304"
    assert body.read_bytes() == content
    assert api.hits(path) == 1

    api.through.put(path, json={"price": 7}).raise_for_status()
    assert curl(*fetch) == "200"
    assert body.read_bytes() != content
    assert api.hits(path) == 2


def test_curl_asks_whether_it_was_modified_since(api: Api, fresh: str, tmp_path: Path) -> None:
    path = f"/products/{fresh}"
    body = tmp_path / "body"
    fetch = (*STATUS, "--remote-time", "--output", body, api.url + path)
    assert curl(*fetch) == "200"
    assert curl("--time-cond", body, *fetch) == "304"
    assert curl("--time-cond", "Sat, 01 Jan 2000 00:00:00 GMT", *fetch) == "200"
    assert api.hits(path) == 1


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [("0-4", slice(0, 5)), ("5-", slice(5, None)), ("-6", slice(-6, None)), ("2-2", slice(2, 3))],
)
def test_curl_fetches_a_range(
    api: Api, fresh: str, tmp_path: Path, wanted: str, kept: slice
) -> None:
    path = f"/products/{fresh}"
    whole = curl(api.url + path)
    body = tmp_path / "body"
    answer = curl(*CACHE_STATUS, "--range", wanted, "--output", body, api.url + path)
    assert answer.startswith("206 warmfront; hit; ")
    assert body.read_text() == whole[kept]
    assert api.hits(path) == 1


def test_curl_fetches_several_ranges(api: Api, fresh: str) -> None:
    path = f"/products/{fresh}"
    whole = curl(api.url + path)
    answer = curl("--include", "--range", "0-1,-2", api.url + path).partition("\n")
    assert answer[0].startswith("HTTP/1.1 206 ")
    message = message_from_string(answer[2], _class=EmailMessage, policy=policy.HTTP)
    parts = list(message.iter_parts())
    assert [part.get_payload() for part in parts] == [whole[:2], whole[-2:]]
    assert {part["Content-Type"] for part in parts} == {"application/json"}
    assert api.hits(path) == 1


def test_curl_resumes_a_download(api: Api, fresh: str, tmp_path: Path) -> None:
    path = f"/products/{fresh}"
    whole = curl(api.url + path)
    body = tmp_path / "body"
    body.write_text(whole[:10])
    assert curl(*STATUS, "--continue-at", "-", "--output", body, api.url + path) == "206"
    assert body.read_text() == whole


def test_curl_asks_beyond_the_end(api: Api, fresh: str, tmp_path: Path) -> None:
    path = f"/products/{fresh}"
    length = len(curl(api.url + path))
    fetch = ("--output", tmp_path / "body", "--range", "9999-", api.url + path)
    wanted = ("--write-out", "%{http_code} %header{content-range}")
    assert curl(*wanted, *fetch) == f"416 bytes */{length}"
    assert api.hits(path) == 1


def test_curl_reads_a_head(api: Api, fresh: str) -> None:
    path = f"/products/{fresh}"
    whole = curl(api.url + path)
    head = curl("--head", api.url + path).lower().splitlines()
    assert f"content-length: {len(whole)}" in head
    assert any(line.startswith("age: ") for line in head)
    assert api.hits(path) == 1


@pytest.fixture
def downstream(api: Api, tmp_path: Path) -> Iterator[httpx.Client]:
    """A private cache in front of ours, as in a browser."""
    storage = SqliteStorage(database_path=tmp_path / "hishel.db")
    options = CacheOptions(shared=False)
    with CacheClient(
        base_url=api.url, storage=storage, rfc=options, trust_env=False, timeout=PATIENCE
    ) as client:
        yield client


def asked_us(response: httpx.Response) -> bool:
    """Whether hishel needed this cache for its answer."""
    caching = response.extensions["caching"]
    return bool(caching["revalidated"] or not caching["from_cache"])


def test_hishel_validates_with_us_and_gets_304(
    api: Api, fresh: str, downstream: httpx.Client
) -> None:
    path = f"/products/{fresh}"
    first, second = downstream.get(path), downstream.get(path)
    assert first.extensions["caching"]["stored"]
    assert second.extensions["caching"]["revalidated"]
    assert second.extensions["caching"]["from_cache"]
    assert second.content == first.content
    assert second.headers["Cache-Status"].startswith("warmfront; hit; ")
    assert api.hits(path) == 1


def test_hishel_sees_a_change_at_its_next_validation(
    api: Api, fresh: str, downstream: httpx.Client
) -> None:
    path = f"/products/{fresh}"
    downstream.get(path)
    api.through.put(path, json={"price": 7}).raise_for_status()
    changed = downstream.get(path)
    assert not changed.extensions["caching"]["from_cache"]
    assert changed.json() == {"id": fresh, "price": 7, "version": 2}
    assert api.hits(path) == 2


def test_hishel_keeps_what_is_private_and_we_do_not(
    api: Api, fresh: str, downstream: httpx.Client
) -> None:
    path = f"/account/{fresh}"
    assert asked_us(downstream.get(path))
    assert not asked_us(downstream.get(path))
    assert "detail=private" in api.through.get(path).headers["Cache-Status"]
    assert api.hits(path) == 2


def test_hishel_keeps_languages_apart(api: Api, fresh: str, downstream: httpx.Client) -> None:
    path = f"/greeting/{fresh}"
    for language, text in (("en", "hello"), ("de", "hallo")) * 2:
        answer = downstream.get(path, headers={"Accept-Language": language})
        assert answer.json() == {"text": f"{text} {fresh}"}
    assert api.hits(path) == 2


@pytest.mark.parametrize("api", ["flask"], indirect=True)
def test_time_spent_with_us_counts_downstream(
    api: Api, fresh: str, downstream: httpx.Client
) -> None:
    """What is nearly stale here must not live for its whole lifetime again there."""
    path = f"/ticker/{fresh}"
    deadline = time.monotonic() + PATIENCE
    while int(api.through.get(path).headers.get("Age", "0")) < SHORT - 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    made = parsedate_to_datetime(downstream.get(path).headers["Date"])
    asking = datetime.now(UTC)
    while not asked_us(downstream.get(path)):
        assert asking < made + timedelta(seconds=SHORT)
        time.sleep(0.1)
        asking = datetime.now(UTC)
    assert api.hits(path) >= 2
