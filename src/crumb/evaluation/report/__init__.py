"""A measurement as a record on disk, as pages for people, and checked by doing it again. Stands on evaluation's core."""
