"""The domain, pure: the trace (thesis, antithesis, synthesis), its recipes, parsing and the sample contract."""
