"""Check HDF5's global heap before HDF5 reads it.

Rows of variable length are stored there. HDF5's checksums do not cover them, and HDF5 does not read a damaged heap
safely: on some damage it never returns. So the target of a row's reference is checked first. Layout: HDF5 File Format
Specification 3.0, III.E, "Disk Format: Level 1E - Global Heap".
"""

from __future__ import annotations

import os
import struct
from typing import Any

_REFERENCE = struct.Struct("<IQI")  # numbers in the row, address of its collection, index in it
_COLLECTION = struct.Struct("<4sB3xQ")  # signature, version, size
_OBJECT = struct.Struct("<HH4xQ")  # index, references to it, size; the data follow, padded to 8 bytes


def check_row(dataset: Any, number: int) -> None:
    """Raise ValueError if row `number` of an h5py dataset of variable-length rows cannot be where it should be.

    Rows with compressed references, and files whose sizes and offsets do not have 8 bytes, are not checked.
    """
    file = dataset.file.id
    if file.get_create_plist().get_sizes() != (8, 8):
        return
    descriptor, base = file.get_vfd_handle(), dataset.file.userblock_size
    reference = _reference(dataset, number, descriptor, base)
    if reference is None:
        return
    count, address, index = _REFERENCE.unpack(reference)
    if count:
        itemsize = dataset.dtype.metadata["vlen"].itemsize
        _check_object(descriptor, base + address, index, count * itemsize)


def _reference(dataset: Any, number: int, descriptor: int, base: int) -> bytes | None:
    size = _REFERENCE.size
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        return None if offset is None else _read(descriptor, base + offset + number * size, size)
    first = number // dataset.chunks[0] * dataset.chunks[0]
    if dataset.id.get_create_plist().get_nfilters():
        return None
    _, chunk = dataset.id.read_direct_chunk((first,))
    reference = chunk[(number - first) * size : (number - first + 1) * size]
    if len(reference) != size:
        raise ValueError("its reference is truncated")
    return bytes(reference)


def _check_object(descriptor: int, address: int, index: int, expected: int) -> None:
    """Walk through a collection as HDF5 does, to the end."""
    signature, version, size = _COLLECTION.unpack(_read(descriptor, address, _COLLECTION.size))
    if signature != b"GCOL" or version != 1 or address + size > os.fstat(descriptor).st_size:
        raise ValueError(f"expected a global heap at {address}")
    place, found = _COLLECTION.size, False
    while place + _OBJECT.size <= size:
        number, _, length = _OBJECT.unpack(_read(descriptor, address + place, _OBJECT.size))
        if number == 0:  # the rest is free space, whose size counts from here
            if length != size - place:
                raise ValueError(f"the heap at {address} is damaged")
            break
        place += _OBJECT.size + (length + 7) // 8 * 8
        if place > size:
            raise ValueError(f"the heap at {address} is damaged")
        if number == index:
            found = length == expected
    if not found:
        raise ValueError(f"the heap at {address} does not contain its numbers")


def _read(descriptor: int, place: int, size: int) -> bytes:
    if place + size > os.fstat(descriptor).st_size:
        raise ValueError(f"place {place} lies outside the file")
    return os.pread(descriptor, size, place)
