"""What an artifact needs to run: streaming log-mel, encoder, decoder. No torch, no NeMo."""
