"""What a run left, what is there now, and the way back from one to the other.

It looks at a cluster through its engine and servers; steps decide what is done about it.
"""
