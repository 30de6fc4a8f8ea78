"""How many values are in some bytes of MessagePack? Found by their headers, without making any of them."""

from __future__ import annotations

from typing import Final

_MOST: Final = 1_000_000
"""So many are counted; each byte after them counts as one, so that it takes 0.1 s at most."""
_TEXT_MARKS: Final = range(0xA0, 0xC0)
_SIZES: Final = {
    **{0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9},
    **{0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5},
}
"""By mark, the bytes of a number; and of lists and maps those before their members, which are counted one by one."""
_WIDTHS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Long texts and bytes by their mark to the bytes in which their length stands."""


def _step(mark: int) -> int:
    """From a value's first byte to the next value; 0 where that depends on more than the first byte."""
    if mark in _WIDTHS:
        return 0
    if mark in _TEXT_MARKS:
        return 1 + mark - _TEXT_MARKS.start
    return _SIZES.get(mark, 1)


_STEPS: Final = tuple(map(_step, range(256)))


def values_in(data: bytes) -> int:
    """How many values, keys among them, these bytes hold at most. Of bytes that can't be read it may be any number."""
    steps, size = _STEPS, len(data)
    place = count = 0
    while place < size:
        mark = data[place]
        step = steps[mark]
        if not step:
            width = _WIDTHS[mark]
            step = 1 + width + int.from_bytes(data[place + 1 : place + 1 + width])
        place += step
        count += 1
        if count == _MOST:
            return count + max(size - place, 0)
    return count
