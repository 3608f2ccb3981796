"""Tags of a response: read from its fields, made by templates, kept from the client."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.rfc9111.messages import Headers
from proxy.tags import (
    MAX_FIELD_SIZE,
    MAX_TAG_SIZE,
    MAX_TAGS,
    TAG_FIELDS,
    InvalidTags,
    Placeholder,
    Source,
    Tags,
    expand_tag,
    placeholders,
    response_tags,
    strip,
    tags_of,
)

FIELDS = st.sampled_from(TAG_FIELDS)
LATIN_1 = st.text(st.characters(max_codepoint=255))
TAG = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","))


def headers(*lines: tuple[str, str]) -> Headers:
    return CIMultiDict(lines)


class TestFields:
    @pytest.mark.parametrize(
        ("lines", "tags"),
        [
            pytest.param([], (), id="none"),
            pytest.param([("Surrogate-Key", "a b")], ("a", "b"), id="Fastly"),
            pytest.param([("Cache-Tag", "a,b")], ("a", "b"), id="Cloudflare"),
            pytest.param([("Cache-Tags", "a, b")], ("a", "b"), id="API Platform"),
            pytest.param([("Surrogate-Key", "a, b")], ("a", "b"), id="API Platform, other field"),
            pytest.param([("X-Cache-Tags", "a,b")], ("a", "b"), id="FOSHttpCache"),
            pytest.param([("Edge-Cache-Tag", "a,b")], ("a", "b"), id="Akamai"),
            pytest.param([("xkey", "a b,c")], ("a", "b", "c"), id="xkey"),
            pytest.param([("XKEY", "a"), ("xkey", "b")], ("a", "b"), id="lines in any case"),
            pytest.param(
                [("xkey", "c a"), ("Cache-Tag", "b"), ("Surrogate-Key", "a")],
                ("a", "b", "c"),
                id="united",
            ),
            pytest.param([("Cache-Tag", "a,A,a")], ("a", "A"), id="case-sensitive, once"),
            pytest.param([("Cache-Tag", " ,a,,\t b , ")], ("a", "b"), id="empty members"),
            pytest.param([("Cache-Tag", "")], (), id="empty"),
            pytest.param([("Cache-Tag", '"{a}:b/c?d=e*"')], ('"{a}:b/c?d=e*"',), id="any ASCII"),
            pytest.param([("Cache-Groups", '"a"')], (), id="groups are not tags"),
        ],
    )
    def test_they_are_read(self, lines: list[tuple[str, str]], tags: Tags) -> None:
        assert tags_of(headers(*lines)) == tags

    @pytest.mark.parametrize(
        ("lines", "told"),
        [
            pytest.param(
                [("cache-tag", "a,b\xe9")],
                "Cache-Tag: tag 2 holds byte 0xE9, not printable ASCII",
                id="not ASCII",
            ),
            pytest.param(
                [("xkey", "a\x7f")], "xkey: tag 1 holds byte 0x7F, not printable ASCII", id="DEL"
            ),
            pytest.param(
                [("xkey", "a"), ("xkey", "b " + "c" * (MAX_TAG_SIZE + 1))],
                "xkey: tag 3 is longer than 1024 bytes",
                id="long tag",
            ),
            pytest.param(
                [("Surrogate-Key", "a " * 4096), ("Surrogate-Key", "a " * 4097)],
                "Surrogate-Key is longer than 16384 bytes",
                id="long field",
            ),
            pytest.param(
                [
                    ("xkey", " ".join(map(str, range(600)))),
                    ("Cache-Tag", " ".join(map(str, range(500, 1001)))),
                ],
                "the response has more than 1000 tags",
                id="many tags",
            ),
        ],
    )
    def test_what_cannot_be_a_tag_spoils_all(self, lines: list[tuple[str, str]], told: str) -> None:
        assert tags_of(headers(*lines)) == InvalidTags(told)

    def test_the_limits_themselves_are_fine(self) -> None:
        assert tags_of(headers(("xkey", "a" * MAX_TAG_SIZE))) == ("a" * MAX_TAG_SIZE,)
        assert tags_of(headers(("xkey", "ab " * (MAX_FIELD_SIZE // 3)))) == ("ab",)
        thousand = tuple(map(str, range(MAX_TAGS)))
        assert tags_of(headers(("xkey", ",".join(thousand)))) == thousand

    @given(st.lists(st.tuples(FIELDS, LATIN_1)))
    def test_no_tag_is_dropped(self, lines: list[tuple[str, str]]) -> None:
        tags = tags_of(headers(*lines))
        words = {word for _, value in lines for word in re.split(r"[, \t]", value)} - {""}
        assert isinstance(tags, InvalidTags) or set(tags) == words

    @given(FIELDS, LATIN_1)
    def test_a_reason_shows_no_value(self, field: str, value: str) -> None:
        secret = "s3cret-" + "x" * MAX_TAG_SIZE
        tags = tags_of(headers((field, value + secret)))
        assert isinstance(tags, InvalidTags)
        assert "s3cret" not in tags.reason


class TestStrip:
    @pytest.mark.parametrize("field", TAG_FIELDS)
    def test_every_line_of_a_tag_field_goes(self, field: str) -> None:
        before = headers(("A", "1"), (field, "a"), ("B", "2"), (field.upper(), "b"))
        assert list(strip(before).items()) == [("A", "1"), ("B", "2")]
        assert len(before) == 4

    def test_the_rest_stays(self) -> None:
        untouched = headers(("Cache-Groups", '"a"'), ("Cache-Control", "max-age=60"))
        assert strip(untouched) is untouched


class TestPlaceholders:
    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            pytest.param("products", [], id="none"),
            pytest.param("{a}/{_b1}", [(Source.PATH, "a"), (Source.PATH, "_b1")], id="path, twice"),
            pytest.param("{query.page}", [(Source.QUERY, "page")], id="query"),
            pytest.param("{query.filter[a].b}", [(Source.QUERY, "filter[a].b")], id="odd query"),
            pytest.param("{header.X-Shop-Id}", [(Source.HEADER, "X-Shop-Id")], id="header"),
            pytest.param("{query}", [(Source.PATH, "query")], id="a capture called query"),
        ],
    )
    def test_found(self, template: str, expected: list[tuple[Source, str]]) -> None:
        assert placeholders(template) == tuple(Placeholder(*pair) for pair in expected)

    @pytest.mark.parametrize("template", ["product:{id", "product:id}", "{{id}}", "{a{b}c}", "}{"])
    def test_a_brace_out_of_place(self, template: str) -> None:
        with pytest.raises(ValueError, match="brace out of place"):
            placeholders(template)

    @pytest.mark.parametrize(
        "template",
        ["{}", "{1}", "{a-b}", "{cookie.a}", "{query.}", "{query.a b}", "{header.}", "{header.é}"],
    )
    def test_not_a_name(self, template: str) -> None:
        with pytest.raises(ValueError, match="is not a name"):
            placeholders(template)


PATH, QUERY, SHOP = "product:{id}", "category:{query.c}", "shop:{header.X-Shop}"


def expanded(
    template: str, variables: dict[str, str], query: str = "", *lines: tuple[str, str]
) -> Tags | InvalidTags:
    return expand_tag(template, variables, query, headers(*lines))


class TestTemplates:
    @pytest.mark.parametrize(
        ("template", "variables", "tags"),
        [
            pytest.param("products", {}, ("products",), id="plain"),
            pytest.param(PATH, {"id": "42"}, ("product:42",), id="name"),
            pytest.param("{a}/{b}/{a}", {"a": "1", "b": "2"}, ("1/2/1",), id="names"),
            pytest.param(PATH, {}, (), id="missing"),
            pytest.param(PATH, {"id": "%34%32"}, ("product:42",), id="decoded"),
            pytest.param(PATH, {"id": "a+b"}, ("product:a+b",), id="plus is itself in a path"),
            pytest.param(PATH, {"id": "caf%C3%A9"}, ("product:café",), id="UTF-8"),
            pytest.param(PATH, {"id": "caf\xc3\xa9"}, ("product:café",), id="raw UTF-8"),
            pytest.param(PATH, {"id": "%e9"}, ("product:%E9",), id="not UTF-8"),
            pytest.param(PATH, {"id": "a%0D%0Ab"}, ("product:a%0D%0Ab",), id="control"),
            pytest.param(PATH, {"id": "{id}"}, ("product:{id}",), id="never expanded twice"),
            pytest.param(PATH, {"id": "50%"}, ("product:50%",), id="stray percent"),
        ],
    )
    def test_from_the_path(self, template: str, variables: dict[str, str], tags: Tags) -> None:
        assert expanded(template, variables) == tags

    @pytest.mark.parametrize(
        ("query", "tags"),
        [
            pytest.param("c=1", ("category:1",), id="one"),
            pytest.param("b=0&c=1&d", ("category:1",), id="among others"),
            pytest.param("c=2&c=1&c=2", ("category:2", "category:1"), id="several, once each"),
            pytest.param("%63=a%20b", ("category:a b",), id="decoded"),
            pytest.param("c=a+b", ("category:a b",), id="plus is a blank"),
            pytest.param("c=%2B", ("category:+",), id="plus"),
            pytest.param("c=1=2", ("category:1=2",), id="equals sign"),
            pytest.param("c=%00", ("category:%00",), id="control"),
            pytest.param("", (), id="no query"),
            pytest.param("C=1", (), id="case"),
            pytest.param("c=&c", (), id="empty"),
        ],
    )
    def test_from_the_query(self, query: str, tags: Tags) -> None:
        assert expanded(QUERY, {}, query) == tags

    @pytest.mark.parametrize(
        ("lines", "tags"),
        [
            pytest.param(["7"], ("shop:7",), id="one"),
            pytest.param(["7, 8", " 9"], ("shop:7", "shop:8", "shop:9"), id="list"),
            pytest.param(["7,,7"], ("shop:7",), id="once, none empty"),
            pytest.param(["caf\xc3\xa9"], ("shop:café",), id="UTF-8"),
            pytest.param(["caf\xe9"], ("shop:caf%E9",), id="not UTF-8"),
            pytest.param(["%34"], ("shop:%34",), id="fields are not percent-encoded"),
            pytest.param([], (), id="missing"),
        ],
    )
    def test_from_the_response(self, lines: list[str], tags: Tags) -> None:
        assert expanded(SHOP, {}, "", *(("x-shop", line) for line in lines)) == tags

    def test_every_combination(self) -> None:
        template = "{id}:{query.c}:{header.X-Shop}"
        tags = expanded(template, {"id": "p"}, "c=1&c=2", ("X-Shop", "a,b"))
        assert tags == ("p:1:a", "p:1:b", "p:2:a", "p:2:b")

    def test_combinations_are_counted_before_they_are_made(self) -> None:
        query = "&".join(f"{name}={n}" for name in "abcdefgh" for n in range(100))
        template = "".join(f"{{query.{name}}}" for name in "abcdefgh")
        assert expanded(template, {}, query) == InvalidTags(
            f"'{template}' makes more than 1000 tags"
        )

    def test_a_long_value(self) -> None:
        fits = "é" * 508
        assert expanded(PATH, {"id": fits.encode().decode("latin-1")}) == (f"product:{fits}",)
        assert expanded(PATH, {"id": "x" * MAX_TAG_SIZE}) == InvalidTags(
            "'product:{id}' makes a tag longer than 1024 bytes"
        )

    @given(LATIN_1, LATIN_1, LATIN_1)
    def test_a_tag_is_printable(self, value: str, query: str, line: str) -> None:
        template = "{id}{query.c}{header.X-Shop}"
        tags = expanded(template, {"id": value + "x"}, f"c=x{query}", ("X-Shop", line + "x"))
        assert isinstance(tags, InvalidTags) or (tags and all(tag.isprintable() for tag in tags))


class TestAllTags:
    def test_those_of_the_route_and_of_the_response(self) -> None:
        lines = headers(("X-Shop", "7"), ("Cache-Tag", "own,products"))
        tags = response_tags(("products", PATH, QUERY, SHOP), {"id": "42"}, "c=1", lines)
        assert tags == ("products", "product:42", "category:1", "shop:7", "own")

    def test_either_can_be_invalid(self) -> None:
        long = {"id": "x" * MAX_TAG_SIZE}
        assert isinstance(response_tags((PATH,), long, "", headers()), InvalidTags)
        bad = headers(("Cache-Tag", "\xe9"))
        assert isinstance(response_tags(("products",), {}, "", bad), InvalidTags)

    def test_together_they_can_be_too_many(self) -> None:
        own = headers(("xkey", " ".join(map(str, range(MAX_TAGS)))))
        assert response_tags(("products",), {}, "", own) == InvalidTags(
            "the response has more than 1000 tags"
        )

    @given(st.lists(TAG, max_size=5))
    def test_a_literal_template_and_a_field_agree(self, tags: list[str]) -> None:
        literal = [tag for tag in tags if tag and "{" not in tag and "}" not in tag]
        by_field = tags_of(headers(("xkey", " ".join(literal))))
        assert response_tags(literal, {}, "", headers()) == by_field
