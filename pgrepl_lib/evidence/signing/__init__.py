"""A run's signature: the keys, what is signed, and whether a folder still is what was signed.

It knows the journal and what lies below; the rest of the evidence stands above, and is only named.
"""
