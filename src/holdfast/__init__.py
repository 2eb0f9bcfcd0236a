"""holdfast breaks a payment platform on purpose and measures how long it took to come back."""

__version__ = "0.1.0"
