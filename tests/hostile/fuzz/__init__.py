"""Coverage-guided fuzzing of what reads hostile bytes: ``make fuzz TIME=60``."""
