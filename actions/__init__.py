"""Change the world, and put it back."""
