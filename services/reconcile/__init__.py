"""
The proof that nothing got lost, and the way back for what was laid aside.

Believes no flag: fetches every service's ids and sums over its public HTTP and compares the sets.
"""

from services.reconcile.commands import dlq, reconcile

__all__ = ["dlq", "reconcile"]
