"""How a step is agreed, done, shown and recorded, and the steps that make and replace replicas.

It knows the cluster and the journal; operations are made of steps.
"""
