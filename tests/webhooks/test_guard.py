"""Tokens and signatures as settings give them."""

from __future__ import annotations

import base64
import hmac

import pytest
from receivers import delivery
from starlette.datastructures import Headers

from pipeline.errors import ConfigError
from pipeline.settings import Settings
from pipeline.webhooks.guard import guard_for

SECRET = "s-SECRET-signing"
SIGNED = {
    "webhook_hmac_secret": SECRET, "webhook_hmac_header": "X-Signature", "webhook_hmac_algorithm": "sha256",
    "webhook_hmac_encoding": "hex",
}  # fmt: skip


def settings(**given):
    return Settings(_env_file=None, **{"webhook_token": "token-one"} | given)


@pytest.mark.parametrize(
    "text", ["a,b,c", "short", "a b c d e f g", "x" * 129, 'quote"quote"', "token-one,token-two,token-3"]
)
def test_tokens_that_cannot_be_used(text):
    with pytest.raises(ConfigError) as caught:
        guard_for(settings(webhook_token=text))
    assert text not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("text", ["", " ", ","])
def test_no_token_is_refused_unless_asked_for(text):
    with pytest.raises(ConfigError, match="no webhook token"):
        guard_for(settings(webhook_token=text))
    assert guard_for(settings(webhook_token=text, webhook_insecure=True)).knows(Headers({}))


def test_a_token_that_is_set_is_asked_for_even_so():
    guard = guard_for(settings(webhook_insecure=True))
    assert not guard.knows(Headers({}))
    assert guard.knows(Headers({"x-ntropy-token": "token-one"}))


def test_a_header_that_is_no_text():
    guard = guard_for(settings())
    assert not guard.knows(Headers(raw=[(b"x-ntropy-token", b"\xff\xfe")]))


def test_nothing_secret_is_shown():
    shown = repr(settings(**SIGNED)) + repr(guard_for(settings(**SIGNED)))
    assert "token-one" not in shown
    assert SECRET not in shown


def test_without_configuration_no_signature_is_checked():
    assert guard_for(settings()).trusts(Headers({}), b"x")


@pytest.mark.parametrize("left_out", SIGNED)
def test_half_a_configuration_is_refused(left_out):
    given = {name: value for name, value in SIGNED.items() if name != left_out}
    with pytest.raises(ConfigError, match="only some are set") as caught:
        guard_for(settings(**given))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_signatures(algorithm, encoding):
    guard = guard_for(settings(**SIGNED | {"webhook_hmac_algorithm": algorithm, "webhook_hmac_encoding": encoding}))
    digest = hmac.digest(SECRET.encode(), b"body", algorithm)
    text = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    assert guard.trusts(Headers({"x-signature": text}), b"body")
    for headers, body in (
        ({"x-signature": text}, b"bodY"), ({}, b"body"), ({"x-signature": ""}, b"body"),
        ({"x-signature": text[:-2]}, b"body"), ({"x-signature": "~ä~"}, b"body"), ({"x-other": text}, b"body"),
    ):  # fmt: skip
        assert not guard.trusts(Headers(headers), body)


def test_a_signed_delivery_over_http(receiver_for):
    receiver = receiver_for(**SIGNED)
    body = b'{"event_id": "signed", "event_type": "x", "data": {}}'
    right = hmac.digest(SECRET.encode(), body, "sha256").hex()
    assert receiver.post(body, headers={"X-Signature": right}).status_code == 202
    assert receiver.post(body + b" ", headers={"X-Signature": right}).status_code == 401
    assert receiver.post(delivery()).status_code == 401
    assert receiver.post(body, token="wrong-token", headers={"X-Signature": right}).status_code == 401
    assert [row.event_id for row in receiver.stored()] == ["signed"]
    assert SECRET not in receiver.log()
