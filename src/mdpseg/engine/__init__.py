"""Runs: pretrain, finetune, evaluate, predict."""
