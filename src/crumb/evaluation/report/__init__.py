"""A measurement as a record on disk, as pages for people, and checked by being done again."""
