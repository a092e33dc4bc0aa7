"""The network: backbones, heads, and the files that store them."""
