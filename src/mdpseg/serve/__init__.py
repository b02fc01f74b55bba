"""``mdpseg serve``: a page and an HTTP interface to a trained network, on this machine."""
