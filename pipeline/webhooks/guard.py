"""Who may deliver: the token, and a signature where one is configured.

The token is the documented mechanism (`X-Ntropy-Token`, docs.ntropy.com/webhooks). SDK 5.7.0 also takes an
`hmac_secret`, but no source says which header, hash, encoding or bytes, so nothing is guessed: none is checked unless
it is configured.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.errors import ConfigError
from pipeline.settings import Settings

TOKEN_HEADER = "X-Ntropy-Token"  # noqa: S105 - a header's name

_DECODE: dict[str, Callable[[str], bytes]] = {
    "hex": bytes.fromhex,
    "base64": lambda text: base64.b64decode(text, validate=True),
}


@dataclass(frozen=True, slots=True)
class Signature:
    """How deliveries are signed. The whole body is what is signed, as it came."""

    header: str
    secret: bytes = field(repr=False)
    algorithm: str
    encoding: str

    def fits(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the signature is there, readable and right."""
        try:
            claimed = _DECODE[self.encoding](headers.get(self.header, ""))
        except (ValueError, binascii.Error):
            return False
        return hmac.compare_digest(claimed, hmac.digest(self.secret, body, self.algorithm))


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks a delivery. No tokens: everybody is let in, which somebody has to have asked for."""

    token_digests: tuple[bytes, ...] = field(repr=False)
    signature: Signature | None = None

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether the delivery brings one of the tokens. The time it takes tells nothing of a token, nor which one."""
        if not self.token_digests:
            return True
        given = _digest(headers.get(TOKEN_HEADER, ""))
        return sum(hmac.compare_digest(given, known) for known in self.token_digests) > 0

    def trusts(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the body is signed as configured; true where nothing is."""
        return self.signature is None or self.signature.fits(headers, body)


def guard_for(settings: Settings) -> Guard:
    """The guard that the settings ask for.

    Raises ConfigError when there is no token and nobody said that there need be none, or half a signature's settings.
    """
    tokens = settings.webhook_tokens
    if not tokens and not settings.webhook_insecure:
        raise ConfigError(
            "no webhook token is set, so anybody could deliver",
            hint="Set ENRICH_WEBHOOK_TOKEN; `--no-token`, or ENRICH_WEBHOOK_INSECURE=1, does without.",
        )
    return Guard(tuple(_digest(token) for token in tokens), _signature_for(settings))


def _signature_for(s: Settings) -> Signature | None:
    secret = s.webhook_hmac_secret.get_secret_value() if s.webhook_hmac_secret else None
    header, algorithm, encoding = s.webhook_hmac_header, s.webhook_hmac_algorithm, s.webhook_hmac_encoding
    if not any((secret, header, algorithm, encoding)):
        return None
    if not (secret and header and algorithm and encoding):
        raise ConfigError(
            "of ENRICH_WEBHOOK_HMAC_SECRET, _HEADER, _ALGORITHM and _ENCODING only some are set",
            hint="Set all four, as the sender documents them, or none.",
        )
    return Signature(header, secret.encode(), algorithm, encoding)


def _digest(token: str) -> bytes:
    # Digests are of one length: compare_digest answers at once, and so tells the length, where lengths differ.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
