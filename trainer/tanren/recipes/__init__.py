"""One training method per module."""
