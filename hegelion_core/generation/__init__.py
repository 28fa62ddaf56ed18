"""Where prompts come from, who does which, and the sample store."""
