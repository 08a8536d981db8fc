"""Pictures and captions: found, read, varied, encoded once, and handed out in batches."""
