"""One question to base and adapter, and both answers as they come."""
