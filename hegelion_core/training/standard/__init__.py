"""The standard trainer: plain LoRA through mlx-lm's own training function, with our data, events and files."""
