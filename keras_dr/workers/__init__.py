"""Photographs prepared or graded on a Ray cluster; one machine is a cluster of one. Ray is imported where it is used.

`spreading` hands items to workers and outlives their deaths; `grading` writes what `predict` finds, part by part.
All machines see photographs, bundle and results under the same path (a shared disk).
"""
