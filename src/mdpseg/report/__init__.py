"""The run report: what a training run did and how good it is, in one HTML page; several runs side by side."""
