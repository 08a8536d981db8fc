"""The drawn-shapes world that the embedded micro models are trained on, and the judge that reads its pictures back."""
