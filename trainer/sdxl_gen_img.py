"""Draw pictures with Stable Diffusion XL: `python sdxl_gen_img.py --ckpt MODEL --prompt "…"`."""

from tanren.generate import main

if __name__ == "__main__":
    raise SystemExit(main("sdxl_gen_img"))
