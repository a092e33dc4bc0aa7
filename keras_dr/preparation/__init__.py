"""From the records of a published data set to a Prepared set."""
