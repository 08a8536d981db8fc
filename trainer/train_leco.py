"""Change what prompts mean in Stable Diffusion 1 or 2: `accelerate launch train_leco.py --option value …`."""

from tanren.entry import main

if __name__ == "__main__":
    raise SystemExit(main("train_leco"))
