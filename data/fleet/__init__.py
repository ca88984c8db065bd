"""The synthetic fleet."""
