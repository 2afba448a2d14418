"""Every text that a person reads: said in English or Portuguese (gettext catalogues), made legible.

The lowest room: it uses nothing of the library, so that everybody can say something.
"""
