"""``mdpseg data get``: public datasets from their official addresses, ready for the readers."""
