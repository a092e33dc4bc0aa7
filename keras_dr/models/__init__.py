"""The network: backbones, heads, and the files that hold them."""
