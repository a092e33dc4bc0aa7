"""Work spread over processes or over a Ray cluster of one or more machines. Ray is imported only when it is used.

`processes` and `ray_cluster` hand items to workers and survive the death of a worker. All machines of a cluster must
see photographs, bundle and results under the same path (a shared disk).
"""
