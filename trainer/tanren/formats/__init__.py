"""One module per file format: text and bytes, never tensors."""
