"""The HTTP API: the model behind a port, in the form that Mixedbread's and OpenAI's clients speak.

Enters: `Settings`. Leaves: a running server. Stands on the model and the vectors; nothing but the command line
stands on it.
"""
