"""The name of the model that is meant where none is named.

Apart from the catalogue, so that loading it does not wait for the catalogue.
"""

DEFAULT = "all-MiniLM-L6-v2"
