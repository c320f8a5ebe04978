"""What whoever runs a catalog sees: metrics, traces, what stops and starts."""
