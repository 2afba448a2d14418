"""The chapters in JupyterLab: a user's own copies of them, and how JupyterLab is started.

It reads the chapters as they are shipped, and writes into the cluster's folder alone.
"""
