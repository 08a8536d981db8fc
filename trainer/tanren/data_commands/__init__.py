"""The sub-commands of `data`, one module per group; each says what the page would show."""
