"""Change what prompts mean in Stable Diffusion XL: `accelerate launch sdxl_train_leco.py --option value …`."""

from tanren.entry import main

if __name__ == "__main__":
    raise SystemExit(main("sdxl_train_leco"))
