"""A validator that outgrows its memory where it looks at conformance, and answers where it does not."""

from services.ingest.acknowledgments import validator

inspect = validator.inspect


def swell(blocks, limits):
    if limits.conformance_bytes:
        bytearray(2 * validator.MEMORY_BYTES)
    return inspect(blocks, limits)


validator.inspect = swell

if __name__ == "__main__":
    validator.main()
