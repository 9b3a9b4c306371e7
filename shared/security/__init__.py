"""Keys, principals, sealing: who may see what. The code of the `access` schema."""
