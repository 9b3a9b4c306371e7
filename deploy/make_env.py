"""
Writes .env for docker compose from deploy/compose.env.example, with fresh secrets: `python
deploy/make_env.py`.
"""

import base64
import os
import re
import secrets
from pathlib import Path

FRESH = {
    "REPRIEVE_MASTER_KEY": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "REPRIEVE_ALERTS_METRICS_KEY": lambda: f"rpv_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}",
    "KAFKA_CLUSTER_ID": lambda: base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("="),
}


def fill_in(example: str) -> str:
    """Give the example with a fresh secret behind every empty name."""
    return re.sub(
        r"^(\w+)=$",
        lambda m: f"{m[1]}={FRESH.get(m[1], lambda: secrets.token_hex(24))()}",
        example,
        flags=re.MULTILINE,
    )


def main() -> None:
    """Write the file, readable by its owner only; never over an existing one."""
    text = fill_in(Path(__file__).with_name("compose.env.example").read_text())
    with os.fdopen(os.open(".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
