"""Models on this machine: found, made, loaded and computed fast."""
