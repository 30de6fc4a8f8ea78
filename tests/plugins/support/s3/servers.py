"""A real S3 server for each test process, on a port of 127.0.0.1 that only we know; or one that somebody gives us.

``SPARK_TEST_S3_ENDPOINT`` is the URL of a server to use instead, with the usual variables of AWS for its credentials.
The tests make buckets there, and leave them.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

PATIENCE = 90
"""Seconds in which a server has to start, or to be gone."""
ENDPOINT = "SPARK_TEST_S3_ENDPOINT"
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class S3Server:
    """A server of our own, and a way into it that bypasses our backend."""

    endpoint_url: str
    key: str = "test-key"
    secret: str = field(default="test-secret", repr=False)
    region: str = "us-east-1"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process finds its credentials, as with AWS."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": self.region,
        }

    @cached_property
    def client(self) -> Any:
        """boto3's client: reads and writes what it likes."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name=self.region,
        )

    def close(self) -> None:
        """Close our own way in; the server goes on."""
        if "client" in vars(self):
            self.client.close()

    def new_bucket(self) -> str:
        """The name of an empty bucket."""
        bucket = f"spark-{os.getpid()}-{time.time_ns()}-{next(_NUMBERS)}"
        self.client.create_bucket(Bucket=bucket)
        return bucket

    def url(self, bucket: str, prefix: str = "", **options: str) -> str:
        """The URL of a store; its credentials come from the environment or by argument.

        :param options: more of the URL's query; ``endpoint_url`` for another way to this server.
        """
        place = f"s3://{bucket}/{prefix}".rstrip("/")
        return f"{place}?{urlencode({'endpoint_url': self.endpoint_url, **options})}"

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys that begin with a prefix, in order."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        with self.client.get_object(Bucket=bucket, Key=key)["Body"] as body:
            content: bytes = body.read()
        return content

    def write(self, bucket: str, key: str, content: bytes) -> None:
        """Store an object, whatever is there."""
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=bucket, Key=key)


def given_server() -> S3Server | None:
    """The server that the environment names, if it does."""
    if ENDPOINT not in os.environ:
        return None
    return S3Server(
        os.environ[ENDPOINT],
        key=os.environ["AWS_ACCESS_KEY_ID"],
        secret=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
    )


@contextmanager
def running_server() -> Iterator[S3Server]:
    """Start a server, and end it afterwards; with this process, it ends in any case."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.plugins.support.s3.moto"],
        cwd=Path(__file__).parents[4],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the tests, which then end it
    )
    with process:
        assert process.stdin
        assert process.stdout
        try:
            port = process.stdout.readline().decode().strip()
            assert port, "the S3 server did not start; its error is above"
            with closing(S3Server(f"http://127.0.0.1:{port}")) as server:
                yield server
        finally:
            process.stdin.close()
            process.wait(PATIENCE)
