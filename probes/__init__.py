"""Look, never touch."""
