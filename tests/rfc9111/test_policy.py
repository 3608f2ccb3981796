from dataclasses import FrozenInstanceError

import pytest

from proxy.rfc9111.policy import ClientDirectives, KeyPolicy, Policy, SetCookie


def test_without_configuration_nothing_is_assumed_overridden_or_shared() -> None:
    policy = Policy()
    assert policy.cache
    assert (policy.ttl, policy.default_ttl, dict(policy.negative_ttl)) == (None, None, {})
    assert (policy.stale_while_revalidate, policy.stale_if_error) == (None, None)
    assert policy.set_cookie is SetCookie.BYPASS
    assert policy.client_directives is ClientDirectives.IGNORE
    assert policy.key == KeyPolicy()


def test_a_policy_is_shared_by_requests_and_cannot_change_under_them() -> None:
    with pytest.raises(FrozenInstanceError):
        Policy().ttl = 5.0  # type: ignore[misc]


def test_key_policies_tell_routes_apart_by_value() -> None:
    assert len({KeyPolicy(), KeyPolicy(), KeyPolicy(sort_query=True)}) == 2
