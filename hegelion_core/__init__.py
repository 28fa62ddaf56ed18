"""The core of hegelion-console: an asyncio library that knows no screen."""

__version__ = "0.1.0"
