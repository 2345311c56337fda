"""Several schemes side by side on one suite, with the evidence and the gates."""
