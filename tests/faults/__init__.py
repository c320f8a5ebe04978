"""Faults: processes killed, engines away."""
