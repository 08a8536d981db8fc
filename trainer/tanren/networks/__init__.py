"""Networks trained on top of a frozen model."""
