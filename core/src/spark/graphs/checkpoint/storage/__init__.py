"""What authors of backends and formats import: the promises that they keep, what is stored, and blocking work."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from spark.graphs.checkpoint.encoding.choosing import Chosen
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.ids import DERIVED_KINDS, automatic_id, derived_id, is_derived, parse_automatic_id
from spark.graphs.checkpoint.model import SECTIONS
from spark.graphs.checkpoint.records.blobs import BlobRef, is_blob_name
from spark.graphs.checkpoint.records.buffers import Pieces
from spark.graphs.checkpoint.records.codecs import Codec, codec_class
from spark.graphs.checkpoint.records.formats import Format, format_class
from spark.graphs.checkpoint.records.framing import (
    LONGEST_HEAD,
    Head,
    check_size,
    frame,
    holds_head,
    read_head,
    unframe,
)
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.limits import ReadLimits
from spark.graphs.checkpoint.records.query import CheckpointQuery, written_members
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.sections import Section
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.io import InlineLimits, SmallIO
from spark.graphs.checkpoint.storage.listing import DamagedRecord, LatestHeaders, Listing, Records, in_batches, page_of
from spark.graphs.checkpoint.storage.url_options import split_options
from spark.graphs.concurrency.blocking import Reply, run_blocking
from spark.graphs.concurrency.forks import ForkGate, renew_after_fork
from spark.graphs.concurrency.uncancellable import wait_uncancellable

if TYPE_CHECKING:
    from spark.graphs.checkpoint.storage.absent import path_not_found, store_not_found
    from spark.graphs.checkpoint.storage.usage import Usage

__all__ = [
    "DERIVED_KINDS",
    "LONGEST_HEAD",
    "SECTIONS",
    "BlobRef",
    "CheckpointBackend",
    "CheckpointInfo",
    "CheckpointQuery",
    "CheckpointSerializer",
    "Chosen",
    "Codec",
    "DamagedRecord",
    "ForkGate",
    "Format",
    "Head",
    "InlineLimits",
    "LatestHeaders",
    "Listing",
    "Pieces",
    "ReadLimits",
    "Record",
    "RecordCodec",
    "RecordHeader",
    "Records",
    "Reply",
    "Section",
    "SmallIO",
    "Usage",
    "automatic_id",
    "check_size",
    "codec_class",
    "derived_id",
    "format_class",
    "frame",
    "holds_head",
    "in_batches",
    "is_blob_name",
    "is_derived",
    "page_of",
    "parse_automatic_id",
    "path_not_found",
    "read_head",
    "renew_after_fork",
    "run_blocking",
    "split_options",
    "store_not_found",
    "unframe",
    "wait_uncancellable",
    "written_members",
]


_RARE: Final = {"Usage": "usage", "path_not_found": "absent", "store_not_found": "absent"}
"""What no run needs, and the module it is imported from on first use."""


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name not in _RARE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_RARE[name]}"), name)
        return value
