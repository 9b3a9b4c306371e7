"""Sealed files in a folder or an object store. Nothing here knows what is in them or who owns them."""
