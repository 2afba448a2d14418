"""What a run proves to somebody else: report, signature, verification, replay and guide.

It is made from the journal and the run's folder alone; no server is asked.
"""
