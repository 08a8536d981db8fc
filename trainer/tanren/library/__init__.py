"""Looking into model files, editing what they say about themselves, and keeping an index of whole folders. No torch."""
