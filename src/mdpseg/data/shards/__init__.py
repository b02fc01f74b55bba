"""Datasets as .tar shards in WebDataset's convention, with an index for reading by number."""
