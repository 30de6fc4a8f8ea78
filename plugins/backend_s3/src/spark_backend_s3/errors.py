"""What S3, its client and the network can answer, what it means, and what a user can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)
from botocore.parsers import ResponseParserError

from spark.errors import BackendError, SparkError
from spark.graphs.checkpoint.storage import store_not_found
from spark.hooks import redact

_PASSING_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_PASSING_CODES: Final = frozenset(
    {"InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"}
)

_PASSING_CLASSES: Final = (
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    OSError,
    ResponseParserError,
)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, and so on."""
    link: BaseException | None = error
    while link is not None:
        yield link
        # Not its context: that may be an earlier failure, which the caller handles while it asks for something else.
        link = link.__cause__


def status_of(error: BaseException) -> int:
    """The HTTP status that the store answered with, 0 when it did not answer.

    It is looked for in the causes and by number, since stores, and layers above them, differ in the classes they raise.
    """
    return next((int(meta["HTTPStatusCode"]) for meta in _metadata(error) if meta.get("HTTPStatusCode")), 0)


def code_of(error: BaseException) -> str:
    """The store's own word for the error, for instance ``"NoSuchKey"``; ``""`` when it gave none."""
    for link in causes(error):
        if isinstance(link, ClientError):
            return str(link.response.get("Error", {}).get("Code", ""))
    return ""


def is_missing(error: BaseException) -> bool:
    """Whether the store says that there is no such object."""
    return status_of(error) == 404 and code_of(error) not in ("NoSuchBucket", "NoSuchUpload")


def is_taken(error: BaseException) -> bool:
    """Whether the store says that a condition of the request does not hold."""
    return status_of(error) == 412


def is_beyond_end(error: BaseException) -> bool:
    """Whether the store says that the object has none of the bytes asked for: it is empty."""
    return status_of(error) == 416


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed when it is sent again."""
    if code_of(error) in _PASSING_CODES or status_of(error) in _PASSING_STATUS:
        return True
    if any(isinstance(link, ClientError | SSLError) for link in causes(error)):
        return False
    return any(isinstance(link, _PASSING_CLASSES) or _is_torn(link) for link in causes(error))


def failure(action: str, place: str, error: Exception) -> SparkError:
    """What to raise for an error of the client or the store.

    :param action: what was tried, for instance ``"save checkpoint 4 of graph 'g'"``.
    :param place: the store, without secrets.
    """
    if isinstance(error, SparkError):
        return error
    if code_of(error) == "NoSuchBucket":
        return store_not_found(place, "there is no such bucket", cure="Or create the bucket: the backend creates none.")
    return BackendError(
        f"The s3 backend could not {action} in {place}: {_said(error)}. {_advice(error)} "
        "Checkpoints saved earlier are intact."
    )


def refusal(action: str, place: str, code: str) -> BackendError:
    """What to raise for an object that the store refused to remove among others."""
    return BackendError(
        f"The s3 backend could not {action} in {place}: the store refused with {code or 'no reason'}. "
        f"{_ADVICE.get(code, _RETRY)} Checkpoints saved earlier are intact."
    )


def _metadata(error: BaseException) -> Iterator[dict[str, Any]]:
    for link in causes(error):
        if isinstance(link, ClientError):
            yield link.response.get("ResponseMetadata", {})


def _is_torn(error: BaseException) -> bool:
    # aiohttp's errors of a body that ended early; named, so that we need not depend on aiohttp ourselves.
    return type(error).__module__.partition(".")[0] == "aiohttp"


def _said(error: Exception) -> str:
    code, status = code_of(error), status_of(error)
    if status:
        return f"the store answered {status} {code}".rstrip()
    if any(isinstance(link, TimeoutError) for link in causes(error)) and not isinstance(error, BotoCoreError):
        return "the store did not answer in time"
    # Of errors of the client, some quote the endpoint, which may hold a password.
    return redact(f"{type(error).__name__}: {error}")


def _advice(error: Exception) -> str:
    by_code = _ADVICE.get(code_of(error))
    if by_code:
        return by_code
    by_status = _ADVICE_BY_STATUS.get(status_of(error))
    if by_status:
        return by_status
    return next(
        (advice for kind, advice in _ADVICE_BY_CLASS for link in causes(error) if isinstance(link, kind)), _RETRY
    )


_RETRY: Final = "Check the store and the network, then run again."
_CREDENTIALS: Final = (
    "Check the access key and the secret: the store does not know them, or they don't belong together."
)
_EXPIRED: Final = "The credentials have expired; get new ones, or use a profile or role that renews them."
_DENIED: Final = (
    "Grant what docs/s3-backend.md lists (s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject) on it."
)
_REGION: Final = "The bucket is in another region; name it with region=."
_NO_BUCKET: Final = "There is no such bucket; create it, or correct the name. The backend creates none."
_UNREACHABLE: Final = "Check endpoint_url, the name of the host and the network."
_ADVICE: Final = {
    "InvalidBucketName": _NO_BUCKET,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": "The clock of this machine is wrong by more than a few minutes; set it, for instance by NTP.",
    "RequestExpired": "The clock of this machine is wrong by more than a few minutes; set it, for instance by NTP.",
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "EntityTooLarge": "The checkpoint is too large for a single PUT; keep less in the state, or compress it.",
    "NotImplemented": "This store does not check conditional writes (If-None-Match); docs/s3-backend.md says which stores do.",
    "QuotaExceeded": "The store is full; delete old checkpoints or raise the quota.",
}
_ADVICE_BY_STATUS: Final = {
    301: _REGION,
    307: _REGION,
    400: "Check the endpoint, the region and the credentials.",
    401: _CREDENTIALS,
    403: _DENIED,
    404: _NO_BUCKET,
    501: _ADVICE["NotImplemented"],
}
_ADVICE_BY_CLASS: Final = (
    (
        NoCredentialsError,
        "Give credentials the usual AWS way (environment, profile, role), or key= and secret= to S3CheckpointBackend.",
    ),
    (PartialCredentialsError, "Give both the access key and the secret."),
    (ProfileNotFound, "Add this profile to ~/.aws/config, or name another one with profile=."),
    (NoRegionError, "Name the region with region=."),
    (ParamValidationError, "Correct the name of the bucket."),
    (SSLError, "Check the certificate of the endpoint, and that endpoint_url says https or http as the store does."),
    (EndpointConnectionError, _UNREACHABLE),
    (ConnectTimeoutError, _UNREACHABLE),
)
