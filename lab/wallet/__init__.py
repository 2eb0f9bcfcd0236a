"""The reference wallet: a small real payment system that holdfast can break."""
