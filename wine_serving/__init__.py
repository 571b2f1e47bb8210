"""What a wine is, how a model is packed, where versions live and how they are served."""
