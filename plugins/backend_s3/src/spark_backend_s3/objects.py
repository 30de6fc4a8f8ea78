"""The few requests that the backend makes of S3, each tried again within bounds. Errors leave here as the project's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random, SystemRandom
from typing import Any, Final, TypeVar

from spark.errors import BackendError, SparkError
from spark_backend_s3.calls import Attempts, RetryBudget
from spark_backend_s3.connections import Connections
from spark_backend_s3.errors import failure, is_beyond_end, is_missing, is_taken, refusal
from spark_backend_s3.location import Location

T = TypeVar("T")

LARGEST: Final = 5 * 2**30
"""S3 takes at most this many bytes in a single PUT. Several would not be one act."""
PAGE: Final = 1000
"""S3 lists, and removes, at most this many objects in one request."""
_CONDITIONS: Final = frozenset({"IfMatch", "IfNoneMatch"})
_MARK: Final = "emptied-by"
_RANDOM: Final = SystemRandom()


@dataclass(frozen=True, slots=True)
class Listed:
    """One object as a listing shows it."""

    key: str
    size: int
    etag: str
    written: datetime
    """When it was written last, by the store's clock."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing."""

    objects: list[Listed]
    now: datetime | None
    """The time by the store's clock when it answered; None when it did not say."""
    more: str | None
    """What asks for the next part, None at the end."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of an object."""

    data: bytes
    etag: str
    size: int
    """Of the whole object, even where only its beginning was read."""
    mark: str
    """Who emptied it; "" for an object that has a content."""


class Objects:
    """The objects of one store."""

    def __init__(self, location: Location, *, timeout: float, has_conditions: bool, random: Random = _RANDOM) -> None:
        """The store at this place.

        :param timeout: seconds within which a request has to succeed, or fail for good.
        :param has_conditions: whether the store is asked to check conditions; without, every write is made.
        :param random: decides on the pauses between attempts, and marks what is emptied.
        """
        self._location = location
        self._budget = RetryBudget(timeout, random=random)
        self._random = random
        self._has_conditions = has_conditions
        self._quotes_etags = True
        """As HTTP has it, and AWS; Ceph 16 compares what stands between the quotes with what was sent."""
        self.connections = Connections(location, read_timeout=timeout / 4)

    @property
    def attempt_timeout(self) -> float:
        """Seconds that one attempt of a request may take."""
        return self._budget.timeout / 3

    def token(self) -> str:
        """Some text that nobody else uses."""
        return self._random.randbytes(12).hex()

    async def create(
        self, key: str, content: bytes, *, action: str, is_wanted: Callable[[], bool] = lambda: True
    ) -> str | None:
        """Write an object in one act, if there is none with this key: its etag, or None when there is one.

        That one may be what an attempt wrote whose answer was lost.

        :param is_wanted: whether to try again when an attempt failed.
        """
        try:
            return await self._put(key, content, action=action, is_wanted=is_wanted, IfNoneMatch="*")
        except _ConditionFailed:
            return None

    async def write(self, key: str, content: bytes, *, action: str) -> str:
        """Write an object, whatever is there; its new etag."""
        return await self._put(key, content, action=action)

    async def empty(self, key: str, *, etag: str, action: str) -> bool:
        """Replace the object that has this etag by an empty one; False when somebody else did so before.

        :raises BackendError: the store failed, or refuses although the object has this etag.
        """
        mark = self.token()
        for is_quoted in (self._quotes_etags, not self._quotes_etags):
            condition = etag if is_quoted else etag.strip('"')
            if await self._replace(key, b"", condition, mark=mark, action=action):
                self._quotes_etags = is_quoted
                return True
            found = await self.read(key, action=action)
            # What we wrote ourselves, when an answer was lost and the request sent again, is in our own way.
            if found is None or found.etag != etag:
                return found is not None and found.mark == mark
        raise BackendError(
            f"The s3 backend could not {action} in {self._location.shown}: the store refuses to overwrite {key!r} on condition "
            f"of its etag {etag}, which it has. Use a store with conditional writes (docs/s3-backend.md names some). Nothing "
            "was deleted."
        )

    async def read(self, key: str, *, action: str, first: int | None = None) -> Content | None:
        """An object's content, None when there is none.

        :param first: read only so many bytes of its beginning.
        """

        async def request(attempts: Attempts) -> Content:
            narrowed = {} if first is None else {"Range": f"bytes=0-{first - 1}"}
            answer = await self._call("get_object", Key=key, **narrowed)
            attempts.expect(answer["ContentLength"])
            with closing(answer["Body"]) as body:
                data = await body.read()
            whole = answer.get("ContentRange", "").rpartition("/")[2]
            size = int(whole) if whole.isdecimal() else len(data)
            return Content(data, answer["ETag"], size, answer.get("Metadata", {}).get(_MARK, ""))

        try:
            return await self._attempt(request)
        except Exception as error:
            if is_missing(error):
                return None
            if is_beyond_end(error):
                return Content(b"", "", 0, "")
            raise self._failure(action, error) from _cause(error)

    async def page(
        self, prefix: str, *, action: str, limit: int = PAGE, after: str = "", more: str | None = None
    ) -> Page:
        """Objects by key, in order.

        :param after: begin after this key.
        :param more: continue an earlier listing.
        """
        place = {"ContinuationToken": more} if more else {"StartAfter": after} if after else {}

        async def request(_: Attempts) -> Page:
            answer = await self._call("list_objects_v2", Prefix=prefix, MaxKeys=limit, **place)
            listed = [
                Listed(entry["Key"], entry["Size"], entry["ETag"], entry["LastModified"].astimezone(UTC))
                for entry in answer.get("Contents", ())
            ]
            return Page(listed, _time_of(answer), answer.get("NextContinuationToken"))

        return await self._tried(request, action=action)

    async def all_keys(self, prefix: str, *, action: str) -> list[str]:
        """The keys of all objects that begin with this."""
        page = await self.page(prefix, action=action)
        keys = [found.key for found in page.objects]
        while page.more:
            page = await self.page(prefix, action=action, more=page.more)
            keys += [found.key for found in page.objects]
        return keys

    async def remove(self, keys: Sequence[str], *, action: str) -> dict[str, str]:
        """Remove objects, as many as there are, a thousand in one request; the keys that were refused, and the reasons."""
        refused: dict[str, str] = {}
        for begin in range(0, len(keys), PAGE):
            named = [{"Key": key} for key in keys[begin : begin + PAGE]]

            async def request(_: Attempts, named: list[dict[str, str]] = named) -> Any:
                return await self._call("delete_objects", Delete={"Objects": named, "Quiet": True})

            answer = await self._tried(request, action=action)
            refused |= {entry["Key"]: entry.get("Code", "") for entry in answer.get("Errors", ())}
        return refused

    def refusal(self, action: str, code: str) -> BackendError:
        """The error for an object that the store refused to remove."""
        return refusal(action, self._location.shown, code)

    async def _put(
        self,
        key: str,
        content: bytes,
        *,
        action: str,
        is_wanted: Callable[[], bool] = lambda: True,
        **options: Any,
    ) -> str:
        if not self._has_conditions:
            options = {name: value for name, value in options.items() if name not in _CONDITIONS}
        try:
            answer = await self._attempt(
                lambda _: self._call("put_object", Key=key, Body=content, **options),
                size=len(content),
                is_wanted=is_wanted,
            )
        except Exception as error:
            if not _CONDITIONS.isdisjoint(options) and (is_taken(error) or is_missing(error)):
                raise _ConditionFailed from error
            raise self._failure(action, error) from _cause(error)
        return str(answer["ETag"])

    async def _replace(self, key: str, content: bytes, etag: str, *, mark: str, action: str) -> bool:
        """Whether an object that has this etag was there to be replaced."""
        try:
            await self._put(key, content, action=action, IfMatch=etag, Metadata={_MARK: mark})
        except _ConditionFailed:
            return False
        return True

    def _failure(self, action: str, error: Exception) -> SparkError:
        return failure(action, self._location.shown, error)

    async def _tried(self, request: Callable[[Attempts], Awaitable[T]], *, action: str) -> T:
        try:
            return await self._attempt(request)
        except Exception as error:
            raise self._failure(action, error) from _cause(error)

    async def _attempt(
        self,
        request: Callable[[Attempts], Awaitable[T]],
        *,
        size: int = 0,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> T:
        await self.connections.filesystem()  # opening it is our own work, and does not count as the store's delay
        attempts = Attempts(self._budget, size=size, is_wanted=is_wanted)
        return await attempts.run(lambda: request(attempts))

    async def _call(self, method: str, **arguments: Any) -> Any:
        filesystem = await self.connections.filesystem()
        return await filesystem._call_s3(method, Bucket=self._location.bucket, **arguments)


class _ConditionFailed(Exception):
    """The store refused a conditional write."""


def _cause(error: Exception) -> BaseException | None:
    # Errors of our own are raised as they are, with the cause that they have.
    return error.__cause__ if isinstance(error, SparkError) else error


def _time_of(answer: Any) -> datetime | None:
    text = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
