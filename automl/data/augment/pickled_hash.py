"""Read a hash file of Berkeley DB 1.85 with pickled records, as the `synnamon` package has one, without unpickling.

Python's own `shelve` would run whatever a pickle says; here its opcodes are only read, and strings and lists are all
that is taken from them. Besides, few Pythons on Linux can open this file format.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Iterator

MAGIC = 0x061561
_FIRST_OFFSET = 4  # smaller numbers mark records that go over several pages; a page is longer than any we want


def records(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the file.

    Raises:
        ValueError: it is not such a file.
    """
    if len(raw) < 16 or struct.unpack_from(">2I", raw) != (MAGIC, 2):
        raise ValueError("not a hash file of Berkeley DB 1.85")
    byte_order, page_size = struct.unpack_from(">2I", raw, 8)
    number = "<H" if byte_order == 1234 else ">H"
    if page_size < 64 or len(raw) % page_size:
        raise ValueError(f"a hash file with pages of {page_size} bytes that is {len(raw)} bytes long")
    for page in range(page_size, len(raw), page_size):
        yield from _on_page(raw[page : page + page_size], number)


def _on_page(page: bytes, number: str) -> Iterator[tuple[bytes, bytes]]:
    """A page begins with how many offsets it has; then key and value in turn, which fill it from its end downwards."""
    (count,) = struct.unpack_from(number, page)
    if count % 2 or 2 * count + 6 > len(page):
        return  # a page of the file's own housekeeping
    offsets = struct.unpack_from(f"{number[0]}{count}H", page, 2)
    end = len(page)
    for key, value in zip(offsets[::2], offsets[1::2], strict=True):
        if not _FIRST_OFFSET <= value <= key <= end:
            return
        yield page[key:end], page[value:key]
        end = value


def lists_of_strings(pickled: bytes) -> dict[str, list[str]]:
    """The dict of lists of strings that was pickled.

    Raises:
        ValueError: it is something else.
    """
    found: dict[str, list[str]] = {}
    strings: list[str] = []
    memo: list[str] = []
    last = key = ""
    for opcode, value, _ in pickletools.genops(pickled):
        match opcode.name:
            case "SHORT_BINUNICODE" | "BINUNICODE":
                last = str(value)
                strings.append(last)
            case "BINGET" | "LONG_BINGET":
                strings.append(memo[int(value or 0)])
            case "MEMOIZE":
                memo.append(last)
            case "EMPTY_LIST" if strings:
                key = strings.pop()
                found[key] = []
            case "APPEND" | "APPENDS":
                found[key] += strings
                strings = []
            case "PROTO" | "FRAME" | "EMPTY_DICT" | "MARK" | "SETITEM" | "SETITEMS" | "STOP":
                pass
            case other:
                raise ValueError(f"pickle opcode {other} where a dict of lists of strings should be")
    return found
