"""The loop, the optimizer and everything around them."""
