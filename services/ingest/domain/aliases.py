"""What a feed calls a payer, and what our policies call it: the feed's owner may say that they are one."""

from collections.abc import Mapping

import msgspec

from services.ingest.domain.remittance import SetHeader
from shared.contracts.claim import ALIAS, Reference


def with_alias(header: SetHeader, aliases: Mapping[str, str]) -> SetHeader:
    """
    Add to the payer's ids what the feed's owner says it is; what the payer sent stays as it is.

    `aliases` has names and ids as sent, in capitals. The name is looked for first, then the ids in order.
    """
    payer = header.payer
    for sent in (payer.name, *(reference.value for reference in payer.ids)):
        known = aliases.get(sent.strip().upper()) if sent else None
        if known is not None:
            ids = (*payer.ids, Reference(qualifier=ALIAS, value=known))
            return msgspec.structs.replace(header, payer=msgspec.structs.replace(payer, ids=ids))
    return header
