"""What is learned from a batch. Each objective(batch) -> {"loss": ..., named parts}; nothing else knows which one runs."""
