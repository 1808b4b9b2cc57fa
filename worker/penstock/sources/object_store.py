"""A bucket of an object store, and what to say when it cannot be used.

obstore (Rust) speaks to all kinds of stores; it is imported only when a job names one. All calls
here block: they belong into a thread. Nothing secret gets into a message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from penstock.secrets import masker
from penstock.spec.object_url import ObjectUrl

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHUNK = 1000
_FIRST_PATIENCE = 10.0
"""Seconds for a request, and to go on trying, where a look or a listing finds a store silent."""
_PATIENCE = 120.0
"""Seconds to go on trying in the middle of the work."""
_SILENCE = 60.0
"""Seconds without a byte that end one try of these; a long transfer goes on."""
_LONGEST = 300.0
"""Seconds that one of them takes at most."""
_CODE = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_STATUS = re.compile(r"status code: (\d{3})")
_ASKED = re.compile(r"Error performing \w+ (\S+) in ")
# Where credentials are asked for on machines of a cloud, when no variable holds any.
_METADATA = re.compile(
    r"169\.254\.169\.254|/latest/(?:api|meta-data)|computeMetadata|metadata/identity|metadata\.google"
)
_NO_CREDENTIALS = re.compile(r"Missing(?:Account|SecretAccessKey|AccessKeyId|Key|Token)")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "InvalidBucketName", "ContainerBeingDeleted")
_DENIED = (
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"),
    *("InvalidToken", "AuthenticationFailed", "AuthorizationFailure", "XAdminUserNotFound"),
    *("AuthorizationPermissionMismatch", "AccountProblem", "AllAccessDisabled"),
)
_WHAT_SETS_IT = {"s3": "AWS_ENDPOINT_URL", "gs": "GOOGLE_BASE_URL", "az": "AZURE_ENDPOINT"}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT, the path of a key file, or GOOGLE_SERVICE_ACCOUNT_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


class Kind(Enum):
    """What is wrong with a store."""

    NO_BUCKET = "no bucket"
    NO_OBJECT = "no object"
    DENIED = "access denied"
    NO_CREDENTIALS = "no credentials"
    AWAY = "does not answer"
    CHANGED = "changed"
    OTHER = "other"


class StoreError(Exception):
    """An object store cannot be used. The message is for people and holds nothing secret."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Found:
    """An object. etag: of its content, where the store has one."""

    key: str
    size: int
    modified: datetime
    etag: str | None


class Bucket:
    """The bucket that an address names. Every method raises StoreError."""

    def __init__(self, url: ObjectUrl, options: Mapping[str, str]) -> None:
        """options: AWS_…, GOOGLE_… or AZURE_… of a Secret, in capitals; empty: the environment's
        count."""
        self.url = url
        self._hide = masker({**os.environ, **options})
        try:
            self._store = _opened(url, options, _FIRST_PATIENCE, _FIRST_PATIENCE)
            self._patient = _opened(url, options, _PATIENCE, _LONGEST)
        except Exception as error:
            self._raise(error, url.key)

    def list(self, prefix: str) -> Iterator[Found]:
        """The objects below a prefix, in the store's order (that of their keys)."""
        try:
            for chunk in self._store.list(prefix or None, chunk_size=_CHUNK):
                for one in chunk:
                    yield Found(one["path"], one["size"], one["last_modified"], one["e_tag"])
        except Exception as error:
            self._raise(error, prefix)

    def find(self, key: str) -> Found:
        """One object."""
        try:
            one = self._store.head(key)
        except FileNotFoundError as error:
            # Asked for its head alone, a store does not say whether it is the bucket that is not
            # there.
            next(self.list(f"{key}/"), None)
            self._raise(error, key)
        except Exception as error:
            self._raise(error, key)
        return Found(one["path"], one["size"], one["last_modified"], one["e_tag"])

    def read(self, found: Found, start: int, end: int) -> bytes:
        """The bytes from start up to end; also CHANGED when the object is another one by now."""
        options: Any = {"range": (start, end)}
        if found.etag:
            options["if_match"] = found.etag
        try:
            return bytes(self._patient.get(found.key, options=options).bytes())
        except Exception as error:
            self._raise(error, found.key)

    async def contents(self, key: str) -> bytes:
        """All of an object."""
        try:
            got = await self._patient.get_async(key)
            return bytes(await got.bytes_async())
        except Exception as error:
            self._raise(error, key)

    async def put(self, key: str, content: bytes | Path) -> None:
        """Write an object, whole or not at all; a file in parts, so that memory stays flat."""
        try:
            await self._patient.put_async(key, content)
        except Exception as error:
            self._raise(error, key)

    def check_writable(self, prefix: str) -> None:
        """Whether objects can be written below a prefix; writes none. Asks for an object to be
        replaced that is not there: who may not write hears that first."""
        key = f"{prefix}.penstock-check"
        try:
            self._store.put(key, b"", mode={"e_tag": '"none"', "version": "1"})
        except Exception as error:
            refused = type(error).__name__ in ("PreconditionError", "FileNotFoundError")
            if refused and _code(error) not in (*_NO_BUCKET, *_DENIED):
                return
            if type(error).__name__ == "NotSupportedError" or _code(error) == "NotImplemented":
                return  # a store without conditions: it will be seen at the end
            self._raise(error, key)
        with suppress(Exception):
            self._store.delete(key)  # one that takes no notice of conditions has written it

    def _explain(self, error: Exception, key: str) -> StoreError:
        """What is said of the error of a call."""
        text, code = str(error), _code(error)
        where = self.url.at(key)
        match = _MESSAGE.search(text)
        said = f" ({code}: {match[1]})" if match else f" ({code})" if code else ""
        status = _STATUS.search(text)
        name = type(error).__name__
        if _METADATA.search(text) or _NO_CREDENTIALS.search(text):
            wanted = _CREDENTIALS[self.url.scheme]
            kind, words = Kind.NO_CREDENTIALS, f"no credentials for {where}: set {wanted}"
        elif code in _NO_BUCKET:
            kind, words = Kind.NO_BUCKET, f"there is no bucket {self.url.bucket!r}{said}"
        elif code in _DENIED or (status and status[1] in ("401", "403")):
            kind, words = Kind.DENIED, f"access denied to {where}{said}"
        elif isinstance(error, FileNotFoundError):
            kind, words = Kind.NO_OBJECT, f"there is no object {where}"
        elif name == "PreconditionError":
            kind, words = Kind.CHANGED, f"{where} was replaced while it was read"
        elif name == "UnknownConfigurationKeyError":
            kind, words = Kind.OTHER, text.split("\n")[0]
        elif "HTTP error" in text or "Connect" in text or "TimedOut" in text:
            asked = _ASKED.search(text)
            host = urlsplit(asked[1]).netloc.rpartition("@")[2] if asked else where
            by = _WHAT_SETS_IT[self.url.scheme]
            kind, words = Kind.AWAY, f"{host} does not answer; is {by} right, and is it up?"
        else:
            kind, words = Kind.OTHER, f"{where}: {match[1] if match else text.split(chr(10))[0]}"
        return StoreError(kind, self._hide(words)[:500])

    def _raise(self, error: Exception, key: str) -> NoReturn:
        if isinstance(error, StoreError):
            raise error
        raise self._explain(error, key) from None


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _keys(config: dict[str, str]) -> Any:
    """Takes the keys of a Secret out of the options and hands them over as what they are, whole: a
    session token in the environment belongs to other keys."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    if not all(name in config for name in names):
        return None
    key, secret = (config.pop(name) for name in names)
    token = config.pop("AWS_SESSION_TOKEN", None)
    return lambda: {
        "access_key_id": key,
        "secret_access_key": secret,
        "token": token,
        "expires_at": None,
    }


def _own_server(
    url: ObjectUrl, options: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Options that keep the environment from deciding where the credentials of a Secret go.

    A client of a store reads the environment whatever it is told; what is told wins.
    """
    here = {name.upper() for name in environ}

    def named(*names: str) -> str | None:
        return next((options[name] for name in names if name in options), None)

    def instead(value: str, *names: str) -> dict[str, str]:
        return {names[0]: named(*names) or value} if here.intersection(names) else {}

    match url.scheme:
        case "s3":
            region = named("AWS_REGION", "AWS_DEFAULT_REGION")
            region = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
            server = f"https://s3.{region or 'us-east-1'}.amazonaws.com"
            return {
                **instead(server, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
                **instead("false", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"),
                **instead("false", "AWS_SKIP_SIGNATURE"),
            }
        case "gs":
            return instead("https://storage.googleapis.com", "GOOGLE_BASE_URL")
        case "az":
            server = f"https://{named('AZURE_STORAGE_ACCOUNT_NAME')}.blob.core.windows.net"
            login = "https://login.microsoftonline.com"
            return {
                **instead(server, "AZURE_ENDPOINT", "AZURE_STORAGE_ENDPOINT"),
                **instead(login, "AZURE_AUTHORITY_HOST", "AZURE_STORAGE_AUTHORITY_HOST"),
                **instead("false", "AZURE_STORAGE_USE_EMULATOR"),
                **instead("false", "AZURE_USE_FABRIC_ENDPOINT"),
            }


def _opened(
    url: ObjectUrl, options: Mapping[str, str], patience: float, longest: float
) -> ObjectStore:
    """patience: seconds to go on trying. longest: seconds for one request."""
    from obstore.store import AzureStore, GCSStore, S3Store

    config: Any = {**options, **_own_server(url, options, os.environ)} if options else {}
    # Whether to speak plain HTTP is said by the address of the endpoint.
    client: Any = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=_FIRST_PATIENCE),
        "read_timeout": timedelta(seconds=min(_SILENCE, longest)),
        "timeout": timedelta(seconds=longest),
    }
    retry: Any = {
        "max_retries": 10,
        "retry_timeout": timedelta(seconds=patience),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=min(15.0, patience / 4)),
            "base": 2,
        },
    }
    more: Any = {"config": config, "client_options": client, "retry_config": retry}
    match url.scheme:
        case "s3":
            return S3Store(url.bucket, **more, credential_provider=_keys(config))
        case "gs":
            return GCSStore(url.bucket, **more)
        case "az":
            return AzureStore(url.bucket, **more)
