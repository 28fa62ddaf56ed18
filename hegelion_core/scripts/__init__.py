"""The operations guide's names for some commands."""
