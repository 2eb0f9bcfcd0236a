"""The reference wallet and its whole platform on one machine; holdfast never imports it."""
