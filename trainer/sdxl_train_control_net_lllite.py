"""Train a ControlNet-LLLite for SDXL: `accelerate launch sdxl_train_control_net_lllite.py --option value …`."""

from tanren.entry import main

if __name__ == "__main__":
    raise SystemExit(main("sdxl_train_control_net_lllite"))
