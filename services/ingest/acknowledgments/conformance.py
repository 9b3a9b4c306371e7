"""
Conformance to the implementation guide, by pyx12's maps: one segment of one transaction set after the other.

pyx12's own reader and error tree are not used, only its maps, its walk and its element checks. So what is
wrong with the former (it ends at an empty or long segment, knows one interchange's delimiters, logs values,
needs ST03) cannot touch us, and what is wrong with the latter stays with one segment.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from pyx12.error_item import EleError, SegError
from pyx12.map_if import load_map_file
from pyx12.map_walker import walk_tree
from pyx12.params import ParamsBase
from pyx12.segment import Composite, Element, Segment
from pyx12.syntax import is_syntax_valid

from services.ingest.acknowledgments.false_alarms import is_false_alarm, is_wrapper
from services.ingest.acknowledgments.segment_names import in_835, printable_id
from services.ingest.acknowledgments.verdicts import ElementError, SegmentError
from services.ingest.x12.delimiters import Delimiters

_MAPS = {"005010X221": "835.5010.X221.A1.xml", "004010X091": "835.4010.X091.A1.xml"}
_GROUP = "/ISA_LOOP/GS_LOOP"
_COMPONENT = "\x1f"  # pyx12 wants one; components are handed over split already
_WALK_CODES = {"1": "1", "2": "I4", "3": "3", "4": "4", "5": "5"}
_REFERENCE_DIGITS = 4


def has_guide(version: str) -> bool:
    """Tell whether sets of this GS08 can be checked: X221 and X091, with or without their addenda."""
    return version[:10] in _MAPS


class SetCheck:
    """One transaction set being checked. `broken`: pyx12 failed on a segment, which was left unchecked."""

    def __init__(self, version: str, delimiters: Delimiters) -> None:
        self.broken = False
        guide, self._qualifiers = _map(version[:10])
        self._delimiters = delimiters
        self._walker = walk_tree()
        self._node = guide.getnodebypath(f"{_GROUP}/GS")
        self._walker.forceWalkCounterToLoopStart(_GROUP, f"{_GROUP}/GS")

    def errors(self, raw: bytes, *, position: int, segment_number: int) -> Iterator[SegmentError]:
        """Check the next segment, from ST to SE."""
        segment, repeated = _segment(raw, self._delimiters)
        try:
            sought = _recognizable(segment, self._qualifiers)
            node, _, _, walked = self._walker.walk_errors(self._node, sought, position, position, None)
            found = [
                _walk_error(one, segment, position, segment_number) for one in walked if not is_wrapper(one)
            ]
            elements = [] if node is None else [*repeated, *_element_errors(node, segment)]
        except Exception:  # noqa: BLE001  whatever pyx12 stumbles over is its fault, and stays with this segment
            self.broken = True
            return
        yield from found
        if node is None:
            return
        self._node = node
        if elements:
            yield SegmentError(
                position=position,
                segment_number=segment_number,
                segment_id=printable_id(segment.get_seg_id() or ""),
                code="8",
                loop=_loop(node),
                elements=tuple(elements),
            )


_Qualifiers = dict[str, frozenset[str]]


@cache
def _map(version: str) -> tuple[Any, _Qualifiers]:
    """Read a map once per process: that costs ten times what checking a small file does."""
    guide = load_map_file(_MAPS[version], ParamsBase())
    return guide, _qualifiers(guide)


def _qualifiers(guide: Any) -> _Qualifiers:
    """
    Give the segments whose first code is of one list wherever they stand, with that list.

    pyx12 takes a segment whose code is not on the list for another segment, so that a wrong BPR01 would be a
    missing BPR, and a wrong SVC01-1 a line of segments out of place. These few can be recognized without it.
    """
    found: dict[str, set[frozenset[str]]] = {}
    for node in guide.loop_segment_iterator():
        if not node.is_segment() or not node.children:
            continue
        first = node.children[0]
        leaf = first.children[0] if first.is_composite() else first
        is_coded = leaf.get_data_type() == "ID" and bool(leaf.valid_codes)
        found.setdefault(node.id, set()).add(frozenset(leaf.valid_codes) if is_coded else frozenset())
    return {name: codes for name, (codes, *others) in found.items() if codes and not others}


def _recognizable(segment: Any, qualifiers: _Qualifiers) -> Any:
    """Give a segment to walk with: the one at hand, or its like with a code that is on the list."""
    codes = qualifiers.get(segment.get_seg_id(), frozenset())
    if not codes or (segment.elements and segment.elements[0].elements[0].get_value() in codes):
        return segment
    like = Segment(None, "~", "*", _COMPONENT)
    like.seg_id = segment.seg_id
    qualifier = Composite("", _COMPONENT)
    qualifier.elements = [Element(min(codes))]
    like.elements = [qualifier, *segment.elements[1:]]
    return like


def _segment(raw: bytes, delimiters: Delimiters) -> tuple[Any, list[ElementError]]:
    """
    Hand a segment over split, so that no delimiter can be mistaken, and name elements that are repeated.

    The 835 repeats none. Blanks behind a value, and empty elements at the end, mean nothing and are left out.
    """
    name, *parts = raw.split(delimiters.element)
    while parts and not parts[-1].strip():
        parts.pop()
    segment = Segment(None, "~", "*", _COMPONENT)
    segment.seg_id = _text(name)
    repeated = []
    for position, part in enumerate(parts, 1):
        first, separator, _ = (
            part.partition(delimiters.repetition) if delimiters.repetition else (part, b"", b"")
        )
        if separator:
            repeated.append(ElementError(position=position, code="12", repetition=2))
        components = first.split(delimiters.component) if delimiters.component else [first]
        composite = Composite("", _COMPONENT)
        composite.elements = [Element(_text(component).rstrip(" ")) for component in components]
        segment.elements.append(composite)
    return segment, repeated


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _walk_error(error: SegError, segment: Any, position: int, segment_number: int) -> SegmentError:
    """Say what the walk found. Only a missing segment is another one than the segment at hand."""
    code = _WALK_CODES.get(error.err_cde, "2")
    name = error.seg_data.get_seg_id() if code == "3" else segment.get_seg_id()
    shown = printable_id(name or "")
    if code == "1" and shown == name:
        code = "2" if in_835(shown) else "6"
    loop = _loop(error.map_node) if error.map_node is not None and code in {"3", "5"} else None
    return SegmentError(
        position=position, segment_number=segment_number, segment_id=shown, code=code, loop=loop
    )


def _element_errors(node: Any, segment: Any) -> Iterator[ElementError]:
    yield from _surplus_components(node, segment)
    _, errors = node.is_valid_errors(segment)
    for error in errors:
        if not isinstance(error.refdes, int) and not is_false_alarm(error):  # an int: a rule between elements
            yield _element_error(node, error)
    for rule in node.syntax:
        yield from _rule_errors(node, segment, rule)


def _surplus_components(node: Any, segment: Any) -> Iterator[ElementError]:
    """Name and drop components that the guide has no place for: pyx12 raises IndexError on them."""
    for position, (child, given) in enumerate(zip(node.children, segment.elements, strict=False), 1):
        room = child.get_child_count() if child.is_composite() else len(given.elements)
        if len(given.elements) > room:
            if any(not extra.is_empty() for extra in given.elements[room:]):
                yield ElementError(position=position, component=room + 1, code="13")
            del given.elements[room:]


def _element_error(node: Any, error: EleError) -> ElementError:
    leaf = error.map_node
    if leaf is None:
        return _composite_error(node, error)
    inside = leaf.parent.is_composite()
    return ElementError(
        position=leaf.parent.seq if inside else leaf.seq,
        component=leaf.seq if inside else None,
        reference=_reference(leaf),
        # With its data type "10" says that elements exclude each other; here it stands for "not used".
        code="I10" if error.err_cde == "10" else error.err_cde,
    )


def _composite_error(node: Any, error: EleError) -> ElementError:
    """A whole composite, or an element behind the last one: named by reference designator, SVC01 or 08."""
    digits = "".join(character for character in str(error.refdes or "")[-2:] if character.isdigit())
    position = int(digits) if digits else len(node.children)
    return ElementError(position=position, code="I10" if error.err_cde == "5" else error.err_cde)


def _rule_errors(node: Any, segment: Any, rule: list[Any]) -> Iterator[ElementError]:
    """A rule between elements (P, R, E, C, L of X12.6): name the one at fault and the one asking for it."""
    if is_syntax_valid(segment, rule)[0]:
        return
    kind, *positions = rule
    there = [one for one in positions if segment.get_value(f"{one:02d}")]
    missing = [one for one in positions if one not in there]
    at_fault = {"E": there[1:], "P": missing, "C": missing}.get(kind, missing[:1])
    for position in at_fault:
        yield ElementError(
            position=position,
            code="10" if kind == "E" else "2",
            reference=_reference(node.children[position - 1]) if position <= len(node.children) else None,
            trigger=there[0] if there else None,
        )


def _reference(node: Any) -> str | None:
    """Give the data element's number; composites have names (C003), which IK402 cannot hold."""
    number = node.data_ele or ""
    return number if number.isdigit() and len(number) <= _REFERENCE_DIGITS else None


def _loop(node: Any) -> str | None:
    """Give the loop as the standard's diagram numbers it, 1000 to 2110: IK303 holds four characters."""
    while node is not None and not node.is_loop():
        node = node.parent
    number = (node.id or "")[:4] if node is not None else ""
    return number if number.isdigit() else None
