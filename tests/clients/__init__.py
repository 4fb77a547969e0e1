"""The official clients of the API that crumb speaks, unchanged, against a real `crumb serve`."""
