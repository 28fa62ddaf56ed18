"""A trained adapter in the forms that other programs read: PEFT, one fused model, GGUF."""
