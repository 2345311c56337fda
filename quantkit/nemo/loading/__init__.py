"""`.nemo` files of strangers, opened without trusting them."""
