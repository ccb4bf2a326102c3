"""Who asks: from the headers of a question to the project that it may read."""

import re
from collections.abc import Mapping

from infra.key_ring import KeyRing, KeysUnavailable
from infra.projects import Credential, well_formed
from query.errors import Forbidden, StoreUnavailable, Unauthorized

KEY_PREFIXES = ("sk-helicone", "pk-helicone", "sk-pathline", "pk-pathline")
"""In a list of credentials, the part that begins so is ours and the others are a provider's."""
SCHEME = re.compile(r"^bearer(%20|\s+|$)", re.IGNORECASE)


def key_of(headers: Mapping[str, str]) -> str:
    """The key in the headers of a question: `Helicone-Auth`, else `Authorization` (ingest.md section 2).

    A missing `Bearer` and `Bearer%20` are tolerated, as Helicone's own clients send both.

    Raises:
        Unauthorized: there is none.
    """
    sent = headers.get("helicone-auth", "").strip()
    if sent:
        return _bare(sent)
    sent = headers.get("authorization", "").strip()
    if not sent:
        raise Unauthorized("No authorization header")
    parts = [_bare(part) for part in sent.split(",")]
    return next((part for part in parts if part.startswith(KEY_PREFIXES)), parts[0])


def _bare(credential: str) -> str:
    key = SCHEME.sub("", credential.strip(), count=1)
    if not key or key.startswith("{"):
        # The second is the session of Helicone's own web app, which is not served here.
        raise Unauthorized("Invalid auth header format")
    return key


async def reader(headers: Mapping[str, str], keys: KeyRing) -> Credential:
    """The credential of a question that only reads.

    Raises:
        Unauthorized: no key, or none that is known.
        Forbidden: the key may not read.
        StoreUnavailable: the key is not among those known, and Postgres does not answer.
    """
    key = key_of(headers)
    if not well_formed(key):
        raise Unauthorized
    try:
        credential = keys.known(key) or await keys.authenticate(key)
    except KeysUnavailable as fault:
        raise StoreUnavailable from fault
    if credential is None:
        raise Unauthorized
    if not credential.can_read:
        raise Forbidden
    return credential
