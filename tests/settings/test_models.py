"""The defaults, what the command line changes, and settings made in code."""

from typing import get_args

import pytest
from pydantic import ValidationError

from proxy.rfc9111.policy import ClientDirectives, Policy, SetCookie
from proxy.settings import (
    Caching,
    Limits,
    LogLevel,
    Origin,
    Settings,
    SettingsError,
    TcpAddress,
    Timeouts,
    UnixAddress,
    defaults,
)
from proxy.settings.routing import policy_of
from proxy.settings.section import Section


def test_defaults_of_caching_are_those_of_the_core() -> None:
    assert policy_of(defaults().defaults) == Policy()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        defaults().workers = 2  # type: ignore[misc]


def test_settings_can_be_made_in_code() -> None:
    settings = Settings(
        listen=(TcpAddress("127.0.0.1", 0), UnixAddress("/run/w.sock")),
        origin=Origin(url="http://api:8000", timeouts=Timeouts(connect=0.2, header=1)),
        limits=Limits(headers=10, header_size=1024),
        defaults=Caching(cache=False, set_cookie=SetCookie.STRIP, negative_ttl={404: 1.0}),
    )
    assert settings.origin.timeouts.connect == 0.2
    assert settings.defaults.negative_ttl == {404: 1.0}
    assert settings.defaults.client_directives is ClientDirectives.IGNORE


@pytest.mark.parametrize("count", [True, 1.5, b"1", object()])
def test_a_value_of_another_python_type_is_refused(count: object) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate({"headers": count})


def test_flags_win() -> None:
    settings = Settings.model_validate(
        {"origin": {"url": "http://file", "host": "origin"}, "log": {"format": "json"}}
    )
    changed = settings.with_overrides(
        origin="http://flag/", listen=[":80", "unix:/run/w.sock", ":80"], log_level="debug"
    )
    assert changed.origin.url == "http://flag"
    assert changed.origin.host == "origin"
    assert changed.listen == (TcpAddress("", 80), UnixAddress("/run/w.sock"))
    assert changed.log.level is LogLevel.DEBUG
    assert changed.log.format == settings.log.format


@pytest.mark.parametrize("listen", [None, []])
def test_no_flags_change_nothing(listen: list[str] | None) -> None:
    assert defaults().with_overrides(listen=listen) == defaults()


def test_all_bad_flags_are_told() -> None:
    with pytest.raises(SettingsError) as caught:
        defaults().with_overrides(origin="api", listen=["8080", ":80", "x"], log_level="loud")
    assert [str(problem) for problem in caught.value.problems] == [
        "--origin: 'api' is not a URL; write http://api",
        "--listen: '8080' is only a port; write 127.0.0.1:8080, or :8080 for everywhere",
        "--listen: 'x' has no port; write x:8080",
        "--log-level: 'loud' is not one of debug, info, warning or error",
    ]


def test_the_origin_is_required() -> None:
    assert defaults().with_overrides(origin="http://a").require_origin() == "http://a"
    with pytest.raises(SettingsError) as caught:
        defaults().require_origin()
    assert str(caught.value) == (
        "origin.url: missing; write origin: {url: http://127.0.0.1:8000}, or give --origin"
    )


def _sections(root: type[Section] = Section) -> list[type[Section]]:
    below = root.__subclasses__()
    return below + [deeper for section in below for deeper in _sections(section)]


@pytest.mark.parametrize("section", _sections())
def test_every_key_says_what_it_means(section: type[Section]) -> None:
    for name, field in section.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        is_section = any(isinstance(kind, type) and issubclass(kind, Section) for kind in kinds)
        assert is_section or field.description, name
