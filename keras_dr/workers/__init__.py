"""Distribute work over processes or over a Ray cluster of one or more machines. Ray is imported only when it is used.

`processes` and `ray_cluster` hand items to workers and survive the death of a worker. On all machines of a cluster,
the photographs, the bundle and the results must have the same paths (a shared disk).
"""
