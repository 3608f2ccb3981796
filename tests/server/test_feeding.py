"""Canaries: what of aiohttp's inner parts the stand-ins for its parser and response rely on."""

import inspect
import re

from aiohttp import base_protocol, streams, web_protocol


class TestCanary:
    """If one of these fails, aiohttp has changed under `proxy.server.feeding`: look there."""

    source = inspect.getsource(web_protocol) + inspect.getsource(base_protocol)

    def test_our_parser_has_every_method_that_is_called(self) -> None:
        called = set(re.findall(r"self\._parser\.(\w+)\(", self.source))
        assert called == {"feed_data", "message_consumed", "pause_reading", "set_upgraded"}

    def test_what_is_fed_after_an_upgrade(self) -> None:
        called = set(re.findall(r"self\._payload_parser\.(\w+)\(", self.source))
        assert called == {"feed_data", "feed_eof"}

    def test_errors_of_a_parser_travel_as_messages(self) -> None:
        error = web_protocol._ErrInfo(418, ValueError("x"), "y")
        assert (error.status, str(error.exc), error.message) == (418, "x", "y")

    def test_a_response_is_asked_for_nothing_else(self) -> None:
        used = set(re.findall(r"\bresp\.(\w+)", self.source))
        assert used == {"prepare", "write_eof", "keep_alive", "force_close"}

    def test_a_paused_body_is_not_lost(self) -> None:
        assert "self._protocol.pause_reading()" in inspect.getsource(streams)
