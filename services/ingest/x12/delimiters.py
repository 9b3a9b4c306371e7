"""The four delimiters of an interchange, found in its ISA segment."""

import msgspec


class Delimiters(msgspec.Struct, frozen=True, gc=False):
    """
    One or two bytes each (two where a non-ASCII delimiter went through UTF-8).

    `component` and `repetition` are empty where the ISA names none: 4010 has "U" or a letter in ISA11.
    """

    element: bytes
    component: bytes
    repetition: bytes
    terminator: bytes
