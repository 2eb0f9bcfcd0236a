"""The fraud check: it may refuse an order before any money moves."""

from lab.wallet.transfer import Order

LARGEST_CENTS = 1_000_000
REPORTED_PAYEES = "mule-"  # what the names of payees begin with that victims have reported


def suspicious(order: Order) -> bool:
    """More than 10,000.00 at once, or a payee whom victims have reported."""
    return order.amount_cents > LARGEST_CENTS or order.payee.startswith(REPORTED_PAYEES)
