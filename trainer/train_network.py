"""Train a LoRA for Stable Diffusion 1.x and 2.x: `accelerate launch train_network.py --option value …`."""

from tanren.entry import main

if __name__ == "__main__":
    raise SystemExit(main("train_network"))
