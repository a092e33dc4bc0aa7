"""Work spread over processes or over a Ray cluster, of which one machine is the smallest. Ray is imported on use.

`processes` and `ray_cluster` hand items to workers and survive the death of a worker. All machines of a cluster must
see photographs, bundle and results under the same path (a shared disk).
"""
