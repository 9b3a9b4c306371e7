"""
What pyx12 4.0.0 reports and is no error. Each entry says why; docs/acknowledgments.md repeats the list.

Blanks behind a value and empty elements at the end of a segment never reach pyx12 (conformance.py): X12 asks
senders not to write them, and no receiver loses anything by them.
"""

import re
from typing import Any

# MIA and MOA: pyx12's list of remark codes ends at N734, and the list grows three times a year. What has the
# form of a remark code is left to the reader, which keeps unknown codes and shows them.
_REMARK = re.compile(r"(M|MA|N)[1-9][0-9]{0,3}")
_REMARK_LIST = "remark_code"


def is_wrapper(error: Any) -> bool:
    """
    Tell whether the walk (a SegError) says of a table that it occurs too often.

    pyx12's maps wrap header, detail and trailer in loops that may occur once, and its walk enters the last
    one anew with each PLB: a second PLB, which the guide allows, would be an error.
    """
    loop = error.map_node
    return error.err_cde == "4" and loop is not None and loop.type == "wrapper"


def is_false_alarm(error: Any) -> bool:
    """Tell whether an error of an element (an EleError) is one of these."""
    leaf = error.map_node
    return (
        error.err_cde == "7"
        and leaf is not None
        and leaf.external_codes == _REMARK_LIST
        and _REMARK.fullmatch(error.err_val or "") is not None
    )
