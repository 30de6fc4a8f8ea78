"""Record → checkpoint, top to bottom: checksum, signature, compression, format, large values, sections."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Final, NoReturn

from spark.errors import CheckpointDamagedError, DeserializationError, InvalidIdError
from spark.graphs.checkpoint.encoding.recorded import Recorded, name_of
from spark.graphs.checkpoint.model import FACTS, SECTIONS, GraphCheckpoint
from spark.graphs.checkpoint.records.blobs import BlobRef
from spark.graphs.checkpoint.records.checksum import is_right
from spark.graphs.checkpoint.records.chunks import content_of
from spark.graphs.checkpoint.records.codecs import Codec, FindCodecs, undo
from spark.graphs.checkpoint.records.formats import Format, is_signed, parsed
from spark.graphs.checkpoint.records.layout import Layout
from spark.graphs.checkpoint.records.limits import Budget, ReadLimits, most_members
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.records.references import Reference, Spot, join_chunks, layouts, references
from spark.graphs.checkpoint.serialization.object_hook import ObjectHook
from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer


class StoredLayout:
    """How a record is stored, for a run that continues it."""

    __slots__ = ("header", "info", "members", "sections")

    def __init__(self, record: Record) -> None:
        self.header = record.header
        self.info = record.info()
        self.sections: dict[str, Layout] = {}
        """By their names; empty until the record was read, and where that is not known."""
        self.members: dict[str, int] = {}
        """How many values are made of each blob, by its name."""


class OpenRecord:
    """A record whose payload was found intact, and parsed.

    :param tree: what the format loaded.
    :param is_plain: nothing in the tree is a tag that stands for something else, whatever it looks like.
    :param references: to the large values that it needs.
    :param budget: what the rest of the load may take.
    :param find_codecs: those that its large values passed.
    :param part: a section, and those of its members that are kept once it is filled.
    """

    __slots__ = ("_part", "budget", "find_codecs", "format", "header", "is_plain", "references", "tree")

    def __init__(
        self,
        header: RecordHeader,
        format: Format,
        tree: Any,
        *,
        is_plain: bool,
        references: list[Reference],
        budget: Budget,
        find_codecs: FindCodecs,
        part: tuple[str, Collection[str]] | None = None,
    ) -> None:
        self._part = part
        self.header: Final = header
        self.format: Final = format
        self.tree: Final = tree
        self.is_plain: Final = is_plain
        self.references: Final = references
        self.budget: Final = budget
        self.find_codecs: Final = find_codecs

    def blob_names(self) -> list[str]:
        """The names of the large values that it needs."""
        return list(dict.fromkeys(reference.ref.name for reference in self.references))

    def references_now(self) -> list[Reference]:
        """Those that stand in its tree, which was edited.

        :raises CheckpointDamagedError: one of them is not a reference.
        """
        return [] if self.format.takes_objects else references(sections_in(self.tree))

    def narrowed(self, section: str, members: Collection[str]) -> OpenRecord:
        """The same record with some members of one section, and nothing in the others: the types in these need not be known."""
        if type(self.tree) is not dict:
            return self
        kept = self.tree.get(section)
        is_in_chunks = (
            type(kept) is dict and content_of(kept) is not None
        )  # then its members are known once it is filled
        part = kept if is_in_chunks else _members_of(kept, members)
        tree = {name: {} if name in SECTIONS else value for name, value in self.tree.items()} | {section: part}
        found = self.references and references(sections_in(tree))
        return OpenRecord(
            self.header,
            self.format,
            tree,
            is_plain=self.is_plain,
            references=found,
            budget=self.budget,
            find_codecs=self.find_codecs,
            part=(section, members) if is_in_chunks else None,
        )

    def alone(self, section: str) -> OpenRecord:
        """A copy of one section, to be filled without a change of this record."""
        tree = {section: deepcopy(self.tree.get(section))}
        return OpenRecord(
            self.header,
            self.format,
            tree,
            is_plain=self.is_plain,
            references=self.references and references(sections_in(tree)),
            budget=self.budget,
            find_codecs=self.find_codecs,
        )

    def fill(self, blobs: Mapping[str, bytes], layout: StoredLayout | None = None) -> None:
        """Put the large values where the references to them stand.

        :param blobs: name to content.
        :param layout: gets how it is stored.
        :raises CheckpointDamagedError: one of them is missing, or not what was written.
        :raises DeserializationError: together they are more than the limits allow.
        """
        if type(self.tree) is not dict or self.format.takes_objects:
            return
        if self.is_plain:
            if layout is not None:
                layout.sections |= layouts(((self.tree, name) for name in SECTIONS), ())
            return
        members = layout.members if layout is not None else {}
        values: dict[tuple[str, bool], Any] = {}
        for reference in self.references:
            known = reference.ref.name, reference.is_raw
            if known not in values:
                values[known] = self.large_value(reference, blobs, members)
            elif not reference.is_raw:  # our own writers refer to each once
                self.budget.take(members=self.format.count(self._content(reference.ref, blobs)))
            reference.holder[reference.key] = values[known]
        try:
            if layout is not None:
                layout.sections |= layouts(((self.tree, name) for name in SECTIONS), self.references)
            join_chunks(sections_in(self.tree))
        except CheckpointDamagedError as error:
            raise_damaged(self.header, str(error), cause=error)
        if self._part is not None:
            section, wanted = self._part
            self.tree[section] = _members_of(self.tree[section], wanted)

    def put_buffers_into_text(self) -> None:
        """Spell large buffers, which ``fill`` has put into the tree as bytes, so that a format can write them that takes none."""
        for reference in self.references:
            if reference.is_raw and not self.format.takes_bytes:
                reference.holder[reference.key] = b64encode(reference.holder[reference.key]).decode("ascii")

    def value_of(self, ref: BlobRef, stored: bytes | None) -> Any:
        """The tree that a large value was made of.

        :param stored: what is stored under its name; None where nothing is.
        :raises CheckpointDamagedError: it is missing, or not what was written.
        """
        return _load(self.format, self.header, self._content(ref, {} if stored is None else {ref.name: stored}))

    def large_value(self, reference: Reference, blobs: Mapping[str, bytes], members: dict[str, int]) -> Any:
        """The value that is referred to, or the bytes themselves of a chunk of buffers.

        :param blobs: name to content; :param members: gets how many values are made of it.
        :raises CheckpointDamagedError: it is missing, or not what was written.
        :raises DeserializationError: that is more than the limits allow.
        """
        content = self._content(reference.ref, blobs)
        if reference.is_raw:
            return content
        count = members[reference.ref.name] = most_members(content, self.format.count, stored=reference.ref.size)
        self.budget.take(members=count)
        return _load(self.format, self.header, content)

    def _content(self, ref: BlobRef, blobs: Mapping[str, bytes]) -> bytes:
        stored = blobs.get(ref.name)
        if stored is None:
            raise_damaged(self.header, f"its large value {ref.name!r} is missing")
        try:
            return ref.content(stored, self.find_codecs)
        except CheckpointDamagedError as error:
            raise_damaged(self.header, str(error), cause=error)


class Decoder:
    """Reads records of any installed format that is safe to load, and of one that was named."""

    def __init__(
        self,
        format: Format,
        *,
        codecs: Sequence[Codec],
        serializer: CheckpointSerializer | None,
        limits: ReadLimits,
    ) -> None:
        self.format = format
        self.limits = limits
        """What one load may cost."""
        self._recorded = Recorded(format, codecs, serializer)

    def decode(self, record: Record) -> GraphCheckpoint:
        """The checkpoint that a record without references to large values was made from: ``open`` and ``read`` in one."""
        return self.read(self.open(record), {})

    def open(self, record: Record) -> OpenRecord:
        """A record whose payload was checked and parsed, so that it is known which large values it refers to.

        :raises CheckpointDamagedError: it is not what was written.
        :raises DeserializationError: it is intact, but its format can't be used here, or it is more than the limits allow.
        :raises PluginNotFoundError: its format is not installed.
        """
        header, payload = record.header, record.payload
        check_intact(header, payload)
        format = self._recorded.format(header)
        if is_signed(format) and not format.verify(header.canonical() + payload, header.signature):
            raise_damaged(header, f"its {format.name} signature is missing, or was not made with the key in use here")
        return self._parsed(header, payload, format)

    def read(
        self, opened: OpenRecord, blobs: Mapping[str, bytes], layout: StoredLayout | None = None
    ) -> GraphCheckpoint:
        """The checkpoint that the record was made from.

        :param blobs: name to content of the large values that it refers to.
        :param layout: gets how it is stored, for a run that continues from it.
        :raises CheckpointDamagedError: one of them is missing or not what was written, or the payload is no checkpoint.
        :raises DeserializationError: its serializer, or a type in it, can't be used here.
        :raises PluginNotFoundError: its serializer is not installed.
        """
        header = opened.header
        opened.fill(blobs, layout)
        serializer = self.serializer_of(header)
        try:
            content = self._lift(opened, serializer)
        except DeserializationError as error:
            raise DeserializationError(f"{name_of(header)} is intact, but can't be loaded: {error}") from error
        except CheckpointDamagedError as error:
            raise_damaged(header, str(error), cause=error)
        try:
            return GraphCheckpoint(**{name: getattr(header, name) for name in HEADER_FACTS} | content)
        except InvalidIdError as error:
            raise_damaged(header, str(error), cause=error)

    def references(self, record: Record) -> list[BlobRef]:
        """The large values that a record refers to. Neither its types nor the key of its signature are needed.

        :raises CheckpointDamagedError: it is not what was written.
        :raises DeserializationError: it is intact, but its format can't be used here, or it is more than the limits allow.
        :raises PluginNotFoundError: its format is not installed.
        """
        check_intact(record.header, record.payload)
        if self._recorded.format_kind(record.header).takes_objects:
            return []  # such formats write a checkpoint in one piece
        return [reference.ref for reference in self.parsed(record).references]

    def open_to_look(self, record: Record) -> OpenRecord:
        """As ``open``, for whoever makes no objects of it: neither the key of its signature nor its serializer is needed.

        :raises CheckpointDamagedError: it is not what was written.
        :raises DeserializationError: its format writes objects; or it can't be used here, or it is more than the limits allow.
        :raises PluginNotFoundError: its format, or a codec, is not installed.
        """
        check_intact(record.header, record.payload)
        if self._recorded.format_kind(record.header).takes_objects:
            raise DeserializationError(
                f"{name_of(record.header)} was written with the format {record.header.format!r}, which stores objects and not "
                "plain data: it can't be shown without creating them, which can run code. If you trust this store, open it with "
                f"format={record.header.format!r}, and load the checkpoint without raw=True."
            )
        return self.parsed(record)

    def serializer_of(self, header: RecordHeader) -> CheckpointSerializer | None:
        """What the values of a record passed.

        :raises DeserializationError: it has to be asked for, or given with options.
        :raises PluginNotFoundError: it is not installed.
        """
        return self._recorded.serializer(header)

    def parsed(self, record: Record) -> OpenRecord:
        """An intact record, opened without a look at its signature."""
        return self._parsed(record.header, record.payload, self._recorded.format(record.header))

    def _parsed(self, header: RecordHeader, payload: bytes, format: Format) -> OpenRecord:
        budget = Budget(self.limits, name_of(header))
        budget.stored(len(payload))
        find_codecs = partial(self._recorded.codecs, what=name_of(header))
        raw = _unpack(header, payload, find_codecs(header.codecs))
        if not format.takes_objects:  # whoever unpickles trusts the store
            budget.take(size=len(raw), members=most_members(raw, format.count, stored=len(payload)))
        tree = _load(format, header, raw)
        is_plain = format.takes_objects or format.is_plain(raw)
        try:
            found = [] if is_plain or type(tree) is not dict else references(sections_in(tree))
        except CheckpointDamagedError as error:
            raise_damaged(header, str(error), cause=error)
        for ref in {reference.ref.name: reference.ref for reference in found}.values():
            budget.stored(ref.size)
        budget.take(size=sum(reference.ref.raw_size for reference in found))
        return OpenRecord(
            header, format, tree, is_plain=is_plain, references=found, budget=budget, find_codecs=find_codecs
        )

    def _lift(self, opened: OpenRecord, serializer: CheckpointSerializer | None) -> dict[str, Any]:
        """What the payload holds by the names of ``GraphCheckpoint``'s fields."""
        tree = checked_tree(opened)
        reader = TreeReader(serializer, limits=self.limits)
        content: dict[str, Any] = {}
        read_section = _section_reader(reader, opened, serializer)
        for name, section in SECTIONS.items():
            values = tree.get(name)
            content[name] = None if values is None and section.takes(None) else read_section(values, name)
        return content | facts_in(opened, reader.without_hook())


_ALWAYS_THERE = {name for name, section in SECTIONS.items() if not section.may_be_absent}
HEADER_FACTS: Final = ("checkpoint_id", "graph_id", "timestamp", "sequence", "parent", "version")
"""What a checkpoint has of its record's header."""


def checked_tree(opened: OpenRecord) -> dict[str, Any]:
    """The payload's tree, which holds all sections that every checkpoint has.

    :raises CheckpointDamagedError: it does not.
    """
    tree = opened.tree
    if type(tree) is not dict or not tree.keys() >= _ALWAYS_THERE:
        raise CheckpointDamagedError("its payload is not a checkpoint, or parts of it are missing")
    return tree


def check_intact(header: RecordHeader, payload: bytes) -> None:
    """Compare a payload with what its header says of it.

    :raises CheckpointDamagedError: it is not what was written.
    """
    if len(payload) != header.size:
        raise_damaged(header, f"it has {len(payload)} bytes instead of {header.size}")
    if not is_right(header.checksum, header.canonical(), payload):
        raise_damaged(header, "its checksum does not match its content")


def _members_of(section: Any, names: Collection[str]) -> Any:
    return {name: section[name] for name in names if name in section} if type(section) is dict else section


def raise_damaged(header: RecordHeader, reason: str, *, cause: BaseException | None = None) -> NoReturn:
    """Say which record is damaged, in what way, and what to do."""
    raise CheckpointDamagedError(
        f"{name_of(header)} is damaged: {reason}. It was changed after it was written, or something else wrote it. "
        "An earlier checkpoint of this graph may be intact: list them, and load one of those."
    ) from cause


def sections_in(tree: dict[str, Any], names: Collection[str] = SECTIONS.keys()) -> Iterator[Spot]:
    """The mappings in a payload's tree in which there may be references and chunks; older releases had some in others.

    :param names: of sections; by default of all.
    """
    for name in names:
        section = SECTIONS[name]
        yield tree, name
        if section.members and type(values := tree.get(name)) is dict:
            yield from ((values, member) for member in section.members if content_of(values.get(member)) is None)


def _section_reader(
    reader: TreeReader, opened: OpenRecord, serializer: CheckpointSerializer | None
) -> Callable[[Any, str], dict[str, Any]]:
    if opened.format.takes_objects:
        hook = ObjectHook(serializer)
        return lambda values, name: hook.lift(_mapping(values, name), name)
    return _mapping if opened.is_plain and not reader.has_hook else reader.mapping


def _unpack(header: RecordHeader, payload: bytes, codecs: Sequence[Codec]) -> bytes:
    try:
        return undo(
            payload, compression=header.compression, codecs=codecs, raw_size=header.raw_size, what=name_of(header)
        )
    except CheckpointDamagedError as error:
        raise_damaged(header, str(error), cause=error)


def _load(format: Format, header: RecordHeader, raw: bytes) -> Any:
    try:
        return parsed(format, raw, name_of(header))
    except CheckpointDamagedError as error:
        raise_damaged(header, f"its payload is not {error}", cause=error.__cause__)


def facts_in(opened: OpenRecord, reader: TreeReader) -> dict[str, Any]:
    """Those facts that were written beside the sections.

    :raises CheckpointDamagedError: one is not valid.
    """
    facts = {}
    for name in FACTS.keys() & opened.tree.keys():
        value = opened.tree[name]
        facts[name] = value if opened.format.takes_objects else reader.value(value, name)
        if type(facts[name]) is not FACTS[name]:
            raise CheckpointDamagedError(f"its {name} is not valid")
    return facts


def _mapping(values: Any, name: str) -> dict[str, Any]:
    if type(values) is not dict:
        raise CheckpointDamagedError(f"its {name} is not a mapping")
    return values
