"""Base against adapter, on rows and prompts that training never saw."""
