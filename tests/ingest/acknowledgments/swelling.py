"""A validator whose first file makes it swell beyond its limit."""

from services.ingest.acknowledgments import validator


def swell(blocks, limits):
    return bytearray(10 * validator.MEMORY_BYTES)


validator.inspect = swell

if __name__ == "__main__":
    validator.main()
