"""The search room, on the real engine."""
