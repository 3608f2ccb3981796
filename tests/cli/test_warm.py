"""`warmfront warm`: jobs, started and watched."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import warm
from tests.cli.warmfront import warmfront
from tests.client.fake_admin import FakeAdmin, Reply


def job(state: str, **figures: Any) -> Reply:
    zero = dict.fromkeys(("total", "done", "hit", "stored", "not_stored", "failed"), 0)
    return Reply({"id": "j", "state": state, "failures": [], "refused": [], **zero, **figures})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_LOOK_EVERY", 0.001)


def test_it_is_watched_to_its_end(admin: FakeAdmin) -> None:
    admin.will(
        job("running"), job("running", done=1, stored=1), job("done", done=2, stored=1, hit=1)
    )
    told = warmfront("warm", "http://a/1", "http://a/2", "-j", "2", "--admin", admin.url)
    assert told == (0, "2 addresses: 1 stored, 1 there already\n", "")
    assert admin.bodies[0] == {"urls": ["http://a/1", "http://a/2"], "concurrency": 2}
    assert [asked.target for asked in admin.asked] == ["/warm", "/warm/j", "/warm/j"]


def test_what_is_not_in_the_cache_is_told(admin: FakeAdmin) -> None:
    failures = [
        {"url": "http://a/[b]", "status": 200, "what": "no-store"},
        {"url": "http://a/2", "status": None, "what": "refused"},
    ]
    refused = [{"where": "urls[2]", "what": "no valid host", "how": "write a name"}]
    admin.will(job("done", done=2, not_stored=1, failed=1, failures=failures, refused=refused))
    code, out, err = warmfront(
        "warm", "http://a/[b]", "http://a/2", "http://", "--admin", admin.url
    )
    assert code == 1
    assert out == (
        "3 addresses: 0 stored, 0 there already, 1 may not be stored, 1 failed, 1 refused\n"
    )
    assert err == (
        "http://a/[b]: 200 no-store\n"
        "http://a/2: refused\n"
        "not done: urls[2]: no valid host: write a name\n"
    )


def test_what_may_not_be_stored_is_no_failure(admin: FakeAdmin) -> None:
    admin.will(job("done", done=1, not_stored=1))
    assert warmfront("warm", "http://a/", "--admin", admin.url)[0] == 0


def test_long_lists_go_in_parts(
    admin: FakeAdmin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_BATCH_URLS", 2)
    file = tmp_path / "urls.txt"
    file.write_text("http://a/1\nhttp://a/2\nhttp://a/3\n")
    admin.will(job("done", done=2, stored=2), job("done", done=1, stored=1))
    code, out, _ = warmfront("warm", file, "--admin", admin.url)
    assert (code, out) == (0, "3 addresses: 3 stored, 0 there already\n")
    assert [body["urls"] for body in admin.bodies] == [["http://a/1", "http://a/2"], ["http://a/3"]]


def test_a_list_from_standard_input(admin: FakeAdmin) -> None:
    admin.will(job("done", done=1, hit=1))
    code, out, _ = warmfront("warm", "-", "--admin", admin.url, stdin=b"http://a/1\n")
    assert (code, out) == (0, "1 address: 0 stored, 1 there already\n")


def test_a_part_fits_into_a_request() -> None:
    urls = [f"http://a/{'é' * (n % 900)}" for n in range(3000)]
    parts = list(warm.batches(urls))
    assert [url for part in parts for url in part] == urls
    assert all(len(json.dumps(part)) <= 512 * 1024 for part in parts)
    assert len(parts) > 2
    assert list(warm.batches(["x" * 600_000])) == [["x" * 600_000]]
    assert list(warm.batches([])) == []


def test_ctrl_c_ends_the_job(admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("proxy.cli.warm.time.sleep", interrupted)
    admin.will(job("running"), job("cancelled"))
    code, _, _ = warmfront("warm", "http://a/", "--admin", admin.url)
    assert code == 130
    assert (admin.asked[1].method, admin.asked[1].target) == ("DELETE", "/warm/j")


@pytest.mark.parametrize(
    ("source", "told"), [("/no/such/file", "No such file"), ("ftp://a/", "ftp://a/")]
)
def test_no_addresses(admin: FakeAdmin, source: str, told: str) -> None:
    code, _, err = warmfront("warm", source, "--admin", admin.url)
    assert code == 2
    assert told in err
    assert admin.asked == []
