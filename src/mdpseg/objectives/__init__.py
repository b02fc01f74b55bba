"""What is learned from a batch: objective(batch) -> {"loss": ..., named parts}; nothing else knows which one runs."""
