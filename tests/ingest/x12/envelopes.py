"""Envelopes with any delimiters, as the tests of tokenizer and reader need them."""


def isa(
    element: bytes = b"*", component: bytes = b":", terminator: bytes = b"~", *, usage: bytes = b"P"
) -> bytes:
    fields = [
        b"ISA", b"00", b" " * 10, b"00", b" " * 10, b"ZZ", b"SENDER".ljust(15), b"ZZ", b"RECEIVER".ljust(15),
        b"261102", b"0600", b"^", b"00501", b"000000001", b"0", usage, component,
    ]  # fmt: skip
    return element.join(fields) + terminator


def interchange(
    segments: list[bytes],
    *,
    element: bytes = b"*",
    component: bytes = b":",
    terminator: bytes = b"~",
    between: bytes = b"",
) -> bytes:
    """`segments` are written with * and ~; IEA is added."""
    written = [segment.replace(b"*", element) for segment in [*segments, b"IEA*1*000000001"]]
    return isa(element, component, terminator + between) + b"".join(s + terminator + between for s in written)
