"""The exercises themselves, a module for each chapter.

They use the room above. Of them it knows `all.py` alone, which has them by name.
"""
