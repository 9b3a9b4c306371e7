"""The X12 format: bytes to segments to elements. Nothing here knows what a claim is."""
