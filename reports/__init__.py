"""Findings in, documents out; no network, no clock."""
