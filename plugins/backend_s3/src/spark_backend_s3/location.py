"""Where a store is, and how to get at it: what the arguments and the URL of the backend say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from spark.hooks import is_cut_short, redact
from spark_backend_s3.names import LONGEST_PREFIX

_FROM_URL: Final = ("endpoint_url", "region", "profile", "single_writer", "timeout")
_TRUTH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A store. Its secrets are in no repr; where none are given, they are looked for the usual AWS way.

    :raises ValueError: an argument can't be used.
    """

    bucket: str
    prefix: str = ""
    """What all keys begin with, without a slash at either end."""
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.bucket or (set("/:@") & set(self.bucket) and not self.bucket.startswith("arn:")):
            raise ValueError(f"The bucket of the s3 backend can't be {redact(self.bucket)!r}; give its name alone.")
        object.__setattr__(self, "prefix", self.prefix.strip("/"))
        if len(self.prefix.encode("utf-8", "replace")) > LONGEST_PREFIX:
            raise ValueError(f"The prefix of the s3 backend takes more than {LONGEST_PREFIX} bytes; use a shorter one.")
        if bool(self.key) != bool(self.secret) or (self.token and not self.key):
            raise ValueError(
                "The s3 backend takes key and secret together, token only with them, or none of the three."
            )
        if self.endpoint_url and not self.endpoint_url.startswith(("http://", "https://")):
            raise ValueError(
                f"The endpoint_url of the s3 backend can't be {redact(self.endpoint_url)!r}; write http://host:port or https://host"
            )
        if self.endpoint_url and "@" in self.endpoint_url:
            raise ValueError("The endpoint_url of the s3 backend can't hold credentials; give them as key and secret.")
        if self.key and self.profile:
            raise ValueError("The s3 backend takes a profile or a key, not both.")

    @property
    def root(self) -> str:
        """What the keys of the store begin with."""
        return f"{self.prefix}/" if self.prefix else ""

    @property
    def shown(self) -> str:
        """The store for messages, without secrets: ``s3://bucket/prefix``, and its endpoint where one was named."""
        place = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        return f"{place} at {redact(self.endpoint_url)}" if self.endpoint_url else place


def options_of(url: str) -> dict[str, Any]:
    """The arguments of the backend that ``s3://bucket/prefix?endpoint_url=…`` stands for.

    :raises ValueError: it is not a URL of this backend.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.hostname or parts.fragment:
        raise ValueError(f"{redact(url)!r} is not a URL of the s3 backend; write s3://bucket/prefix")
    host = parts.netloc.rpartition("@")[2]
    if ":" in host or is_cut_short(url, ends="@/?#"):
        raise ValueError(
            f"{redact(url)!r} names no bucket. Credentials in a URL need %2F for /, %40 for @ and so on; better keep them out "
            "of it. "
            "A server is named by ?endpoint_url=http://host:port"
        )
    options: dict[str, Any] = {"bucket": unquote(host), "prefix": unquote(parts.path, errors="strict").strip("/")}
    if parts.username or parts.password:
        options |= {"key": unquote(parts.username or ""), "secret": unquote(parts.password or "")}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _FROM_URL:
            raise ValueError(
                f"The URL of the s3 backend takes {', '.join(_FROM_URL)} in its query, not {name!r}. Credentials come from "
                "the environment, a profile or a role, or by keyword to S3CheckpointBackend."
            )
        options[name] = _parsed(name, value)
    return options


def _parsed(name: str, value: str) -> str | bool | float:
    if name == "single_writer":
        if value.lower() not in _TRUTH:
            raise ValueError("single_writer in the URL of the s3 backend is true or false.")
        return _TRUTH[value.lower()]
    if name == "timeout":
        try:
            return float(value)
        except ValueError:
            raise ValueError("timeout in the URL of the s3 backend is a number of seconds.") from None
    return value
