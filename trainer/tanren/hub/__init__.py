"""The Hugging Face hub: uploads of what a run saves, and states to go on from. What talks to it is a child process."""
