"""What is written, resumed, and how files are called."""
