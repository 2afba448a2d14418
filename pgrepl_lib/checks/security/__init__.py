"""Claims about who may come in, and how he proves who he is; each names its source.

`pgrepl check --security` makes them. What a cluster without TLS cannot show is told as not tried.
"""
