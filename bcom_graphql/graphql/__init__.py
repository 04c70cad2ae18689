"""The protocol server; knows nothing of our types."""
