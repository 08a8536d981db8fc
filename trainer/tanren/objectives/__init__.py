"""What a step should bring closer: a prediction and its target."""
