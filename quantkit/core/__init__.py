"""What every room shares: errors, files and progress. Imports nothing of quantkit."""
