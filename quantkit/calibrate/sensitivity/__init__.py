"""What each tensor does to the joint's distributions when it alone is quantized."""
