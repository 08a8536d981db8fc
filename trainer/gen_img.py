"""Draw pictures with Stable Diffusion 1, 2 or XL: `python gen_img.py --ckpt MODEL --prompt "…"`."""

from tanren.generate import main

if __name__ == "__main__":
    raise SystemExit(main("gen_img"))
